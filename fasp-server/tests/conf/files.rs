//! How files are received and read: overwriting, links, modes, groups, suffixes, time-outs, logs, receipts.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use fasp_net::{event::Event, request::TransferOptions};
use transfer_spec::{OverwritePolicy, Preserve, SymlinkPolicy};

use crate::bed::{Bed, LEA, mode, usual};

#[tokio::test(flavor = "multi_thread")]
async fn existing_files_stay_where_overwriting_is_denied() {
    let bed = Bed::new().await;
    bed.file("f", 10);
    bed.file("root/f", 3);
    let always = TransferOptions {
        overwrite: OverwritePolicy::Always,
        ..usual()
    };
    bed.configure(&["set_group_data;group_name,editors;overwrite,deny"])
        .await;
    let ran = bed.run(LEA, bed.upload_job(&["f"], "/"), &always).await;
    assert_eq!(ran.code(), 42);
    assert_eq!(fs::read(bed.path("root/f")).unwrap().len(), 3);
    bed.configure(&["set_node_data;overwrite,allow"]).await;
    bed.run(LEA, bed.upload_job(&["f"], "/"), &always)
        .await
        .done();
    assert_eq!(fs::read(bed.path("root/f")).unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_made_and_followed_only_where_the_file_says_so() {
    let bed = Bed::new().await;
    bed.file("root/t/target", 10);
    symlink("target", bed.path("root/t/link")).unwrap();
    bed.file("up/target", 10);
    symlink("target", bed.path("up/link")).unwrap();
    let copy = TransferOptions {
        symlinks: SymlinkPolicy::Copy,
        ..usual()
    };
    for (words, is_followed, is_made) in [
        ("none", false, false),
        ("create", false, true),
        ("follow", true, false),
        ("create,follow", true, true),
    ] {
        bed.configure(&[&format!("set_node_data;symbolic_links,{words}")])
            .await;
        bed.download(LEA, &["t"]).await.done();
        assert_eq!(bed.path("back/t/link").exists(), is_followed, "{words}");
        bed.run(LEA, bed.upload_job(&["up"], "/"), &copy)
            .await
            .done();
        let made = bed.path("root/up/link");
        assert_eq!(made.is_symlink(), is_made, "{words}");
        fs::remove_dir_all(bed.path("back/t")).unwrap();
        fs::remove_dir_all(bed.path("root/up")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_modes_are_those_of_the_file_and_never_more_than_nine_bits() {
    let bed = Bed::new().await;
    let set_mode = |name: &str, bits| {
        fs::set_permissions(bed.path(name), fs::Permissions::from_mode(bits)).unwrap();
    };
    bed.file("d/small", 10);
    bed.file("d/large", 200_000);
    for (conf, file, directory) in [
        (
            "file_create_mode,0600;directory_create_mode,0710",
            0o600,
            0o710,
        ),
        (
            "file_create_grant_mask,040;directory_create_grant_mask,005",
            0o540,
            0o705,
        ),
        (
            "file_create_mode,4777;file_create_grant_mask,0",
            0o777,
            0o755,
        ),
    ] {
        bed.configure(&[&format!("set_node_data;{conf}")]).await;
        set_mode("d/small", 0o500);
        set_mode("d/large", 0o500);
        set_mode("d", 0o700);
        bed.upload(LEA, &["d"], "/").await.done();
        assert_eq!(mode(&bed.path("root/d/small")), file, "{conf}");
        assert_eq!(mode(&bed.path("root/d/large")), file, "{conf}");
        if conf.contains("directory") {
            assert_eq!(mode(&bed.path("root/d")), directory, "{conf}");
        }
        fs::remove_dir_all(bed.path("root/d")).unwrap();
    }
    // The mask of the file is stronger than what the client wants to keep.
    bed.configure(&["set_node_data;file_create_mode,640"]).await;
    let keep = TransferOptions {
        preserve: Preserve {
            mode: true,
            ..Preserve::default()
        },
        ..usual()
    };
    bed.run(LEA, bed.upload_job(&["d/small"], "/"), &keep)
        .await
        .done();
    assert_eq!(mode(&bed.path("root/small")), 0o640);
}

/// The guide's recipe: `group_ownership,-` and a set-gid directory.
#[tokio::test(flavor = "multi_thread")]
async fn p7_a_set_gid_directory_decides_about_groups_where_the_file_leaves_them_alone() {
    let bed = Bed::new().await;
    let limited = bed.path("root/limited");
    fs::create_dir(&limited).unwrap();
    // Another group than our own, if this account may give files away.
    let group = 12_345;
    let is_given = std::os::unix::fs::chown(&limited, None, Some(group)).is_ok();
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o2775)).unwrap();
    let group = fs::metadata(&limited).unwrap().gid();
    bed.file("d/e/small", 10);
    bed.file("d/e/large", 200_000);
    bed.configure(&["set_node_data;group_ownership,-;directory_create_mode,750"])
        .await;
    bed.upload(LEA, &["d"], "/limited/").await.done();
    for name in ["d", "d/e", "d/e/small", "d/e/large"] {
        let metadata = fs::metadata(limited.join(name)).unwrap();
        assert_eq!(metadata.gid(), group, "{name}");
        if metadata.is_dir() {
            assert_eq!(
                metadata.mode() & 0o7777,
                0o2750,
                "{name} hands its group on"
            );
        }
    }
    if is_given {
        // And a group by its number, or by its name.
        for (text, number) in [("54321", 54_321), ("daemon", 1)] {
            bed.configure(&[&format!("set_node_data;group_ownership,{text}")])
                .await;
            bed.upload(LEA, &["d"], &format!("/as-{text}/"))
                .await
                .done();
            for name in ["d/e/small", "d/e/large", "d/e"] {
                let metadata = fs::metadata(bed.path(&format!("root/as-{text}/{name}"))).unwrap();
                assert_eq!(metadata.gid(), number, "{text} {name}");
            }
        }
    }
    bed.configure(&["set_node_data;group_ownership,no-such-group"])
        .await;
    assert_eq!(bed.upload(LEA, &["d"], "/").await.code(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_files_have_the_suffixes_of_the_file() {
    let bed = Bed::new().await;
    bed.file("big.partial", 3_000_000);
    bed.file("x.tmp-part", 10);
    bed.configure(&["set_node_data;partial_file_suffix,.tmp-part;resume_suffix,.tmp-ckpt"])
        .await;
    // The usual suffix is a name as any other now.
    assert_eq!(bed.upload(LEA, &["x.tmp-part"], "/").await.code(), 56);
    let slow = TransferOptions {
        target_rate: Some(crate::bed::MBPS(8)),
        ..usual()
    };
    let job = fasp_net::transfer::Job::Upload {
        sources: fasp_net::engine::Sources::new(vec![fasp_net::engine::Source::Faux(
            transfer_spec::FauxSource::File {
                name: "big".to_owned(),
                size: 3_000_000,
            },
        )])
        .unwrap(),
        destination: b"/big.partial".to_vec(),
    };
    let transfer = bed.start(LEA, job, &slow).await.unwrap();
    let waited = tokio::task::spawn_blocking(move || {
        while !matches!(transfer.events().recv(), Ok(Event::Progress(p)) if p.bytes_done > 0) {}
        transfer
    });
    let transfer = waited.await.unwrap();
    let names: Vec<_> = fs::read_dir(bed.path("root"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["big.partial.tmp-part"]);
    transfer.remote().cancel();
    tokio::task::spawn_blocking(move || transfer.wait())
        .await
        .unwrap()
        .unwrap_err();
    // Suffixes that cannot be told apart stop uploads instead of files.
    bed.configure(&["set_node_data;partial_file_suffix,.x;resume_suffix,.a.x"])
        .await;
    assert_eq!(bed.upload(LEA, &["big.partial"], "/").await.code(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_kept_or_not_as_the_file_says() {
    let bed = Bed::new().await;
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let path = bed.file("f", 10);
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(old)
        .unwrap();
    for (word, client, is_kept) in [
        ("none", true, false),
        ("times", false, true),
        ("use client setting", true, true),
    ] {
        bed.configure(&[&format!("set_node_data;preserve_attributes,{word}")])
            .await;
        let options = TransferOptions {
            preserve: Preserve {
                times: client,
                ..Preserve::default()
            },
            overwrite: OverwritePolicy::Always,
            ..usual()
        };
        bed.run(LEA, bed.upload_job(&["f"], "/"), &options)
            .await
            .done();
        let time = fs::metadata(bed.path("root/f"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(time == old, is_kept, "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extended_attributes_are_kept_and_sent_only_where_the_file_does_not_say_none() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};

    let bed = Bed::new().await;
    let path = bed.file("f", 10);
    if setxattr(&path, "user.a", b"1", XattrFlags::empty()).is_err() {
        // A file system without them.
        return;
    }
    let options = TransferOptions {
        preserve: Preserve {
            xattrs: true,
            ..Preserve::default()
        },
        overwrite: OverwritePolicy::Always,
        ..usual()
    };
    for (word, is_kept) in [("none", false), ("metafile", false), ("native", true)] {
        bed.configure(&[&format!("set_node_data;preserve_xattrs,{word}")])
            .await;
        let told = "the server does not keep extended attributes".to_owned();
        let up = bed.run(LEA, bed.upload_job(&["f"], "/"), &options).await;
        assert_eq!(up.notices().contains(&told), !is_kept, "{word}");
        up.done();
        let has = |name| getxattr(bed.path(name), "user.a", &mut [0; 9]).is_ok();
        assert_eq!(has("root/f"), is_kept, "{word}");
        setxattr(bed.path("root/f"), "user.a", b"1", XattrFlags::empty()).unwrap();
        let down = bed.run(LEA, bed.download_job(&["f"]), &options).await;
        assert_eq!(down.notices().contains(&told), !is_kept, "{word}");
        down.done();
        assert_eq!(has("back/f"), is_kept, "{word}");
    }
}

/// The one receipt; the client has its result before the server has written everything down.
async fn receipt(bed: &Bed) -> String {
    loop {
        let paths = fs::read_dir(bed.path("receipts")).unwrap();
        let mut paths = paths.map(|entry| entry.unwrap().path());
        let is_whole =
            |path: &std::path::PathBuf| path.to_str().unwrap().ends_with("-manifest.txt");
        if let Some(path) = paths.find(is_whole) {
            return fs::read_to_string(path).unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_name_every_file_and_its_result() {
    let bed = Bed::new().await;
    fs::create_dir(bed.path("receipts")).unwrap();
    bed.file("d/a", 10);
    bed.file("d/b\nc", 20);
    bed.configure(&[
        "set_node_data;file_manifest,text;file_manifest_path,ROOT/receipts;file_manifest_inprogress_suffix,.tmp",
    ])
    .await;
    bed.upload(LEA, &["d"], "/").await.done();
    let text = receipt(&bed).await;
    assert!(text.contains("done\t10\t-\td/a\t-\n"), "{text}");
    assert!(text.contains("done\t20\t-\td/b\\nc\t-\n"), "{text}");
    assert!(
        text.contains("# end status 0 done 2 skipped 0 failed 0 bytes 30\n"),
        "{text}"
    );
    // A receipt that has to be and has no place ends the matter before it begins.
    bed.configure(&["set_node_data;file_manifest,text"]).await;
    assert_eq!(bed.upload(LEA, &["d"], "/").await.code(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_the_file_leave_files_out_in_either_direction() {
    let bed = Bed::new().await;
    for name in ["d/a.txt", "d/b.tmp", "d/keep.tmp", "d/cache/c"] {
        bed.file(name, 10);
        bed.file(&format!("root/{}", name.replacen('d', "g", 1)), 10);
    }
    bed.configure(&["set_node_data;file_filters,|+ keep.tmp|- *.tmp|- cache/"])
        .await;
    let ran = bed.upload(LEA, &["d"], "/").await;
    assert_eq!(ran.code(), 27, "what is refused is told, file by file");
    bed.download(LEA, &["g"]).await.done();
    for place in ["root/d", "back/g"] {
        let has = |name: &str| bed.path(place).join(name).exists();
        assert!(has("a.txt") && has("keep.tmp"), "{place}");
        assert!(!has("b.tmp") && !has("cache"), "{place}");
    }
    for bad in ["*.tmp", "- ", "- [a"] {
        bed.configure(&[&format!("set_node_data;file_filters,|{bad}")])
            .await;
        assert_eq!(bed.upload(LEA, &["d"], "/").await.code(), 50, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_have_the_checksum_that_the_file_asks_for() {
    let bed = Bed::new().await;
    fs::create_dir(bed.path("receipts")).unwrap();
    bed.file("f", 3);
    bed.configure(&[
        "set_node_data;file_checksum,md5;file_manifest,text;file_manifest_path,ROOT/receipts",
    ])
    .await;
    bed.upload(LEA, &["f"], "/").await.done();
    let text = receipt(&bed).await;
    assert!(
        text.contains("done\t3\t5e67892910f48f16d1f1d7019b7ea771\tf\t-\n"),
        "{text}"
    );
}

/// Who may not write may not take away what was downloaded, and who may not replace may not delete.
#[tokio::test(flavor = "multi_thread")]
async fn removing_and_deleting_need_the_rights_of_writing() {
    let bed = Bed::new().await;
    bed.file("root/g", 10);
    bed.file("d/f", 10);
    bed.file("root/d/old", 10);
    let mut take = usual();
    take.files.after.fate = transfer_spec::SourceFate::Remove;
    bed.configure(&["set_node_data;write_allowed,false"]).await;
    let ran = bed.run(LEA, bed.download_job(&["g"]), &take).await;
    assert_eq!(ran.code(), 37);
    let mut delete = usual();
    delete.files.delete_absent = true;
    bed.configure(&["set_node_data;overwrite,deny"]).await;
    let ran = bed.run(LEA, bed.upload_job(&["d"], "/"), &delete).await;
    assert_eq!(ran.code(), 37);
    assert!(bed.path("root/g").exists() && bed.path("root/d/old").exists());
}
