//! Docroots, rights, restrictions, authorisation, encryption.

use std::{fs, sync::atomic::AtomicBool};

use fasp_core::DatagramCipher;
use fasp_crypt::{Cost, KeyRing, MemoryCeiling, Passphrase};
use fasp_net::{
    control::Message, control::message::List, engine::Protection, request::TransferOptions,
    transfer::Job,
};

use crate::bed::{Bed, LEA, MAX, usual};

/// The names in a directory as the server lists them; the code it refuses with.
async fn list(bed: &Bed, user: &str, path: &str) -> Result<Vec<String>, u8> {
    let mut connection = bed.connect(user).await;
    let list = List {
        path: path.into(),
        after: None,
    };
    connection.control.sender.send(list).await.unwrap();
    loop {
        match connection
            .control
            .receiver
            .receive()
            .await
            .unwrap()
            .unwrap()
        {
            Message::Listing(listing) => {
                let names = listing.entries.into_iter();
                return Ok(names.map(|e| String::from_utf8(e.name).unwrap()).collect());
            }
            Message::Refuse(refuse) => return Err(refuse.code.number()),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_docroots_come_from_user_account_group_and_node_in_that_order() {
    let bed = Bed::new().await;
    for name in ["root", "other", "user", "group", "node/max", "node/lea"] {
        bed.file(&format!("{name}/in-{}", name.replace('/', "-")), 1);
    }
    let node = "set_node_data;absolute,ROOT/node/$(name)";
    let group = "set_group_data;group_name,editors;absolute,ROOT/group";
    let user = "set_user_data;user_name,lea;absolute,file:///ROOT/user";
    // Without any the account's own counts, and one without gets nothing.
    assert_eq!(list(&bed, LEA, "/").await, Ok(vec!["in-root".to_owned()]));
    assert_eq!(list(&bed, MAX, "/").await, Err(37));
    for (conf, lea, max) in [
        (&[node][..], "in-root", "in-node-max"),
        (&[node, group], "in-root", "in-group"),
        (&[node, group, user], "in-user", "in-group"),
        (
            &["set_user_data;user_name,lea;absolute,", group],
            "in-root",
            "in-group",
        ),
    ] {
        bed.configure(conf).await;
        assert_eq!(
            list(&bed, LEA, "/").await,
            Ok(vec![lea.to_owned()]),
            "{conf:?}"
        );
        assert_eq!(
            list(&bed, MAX, "/").await,
            Ok(vec![max.to_owned()]),
            "{conf:?}"
        );
    }
    // What cannot be a docroot here is no reason to take another one.
    for bad in [
        "s3://key:secret@host/bucket",
        "/gone/$(what)",
        "ROOT/gone",
        "relative",
    ] {
        bed.configure(&[&format!("set_user_data;user_name,lea;absolute,{bad}")])
            .await;
        assert_eq!(list(&bed, LEA, "/").await, Err(50), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_docroots_may_be_for_one_peer() {
    let bed = Bed::new().await;
    bed.file("user/seven", 1);
    bed.file("other/all", 1);
    for (peer, name) in [("127.0.0.1", "seven"), ("192.0.2.7", "all")] {
        let path = |attribute: &str, name: &str| {
            let root = bed.path(name);
            format!(
                "<path><absolute{attribute}>{}</absolute></path>",
                root.display()
            )
        };
        let paths = path("", "other") + &path(&format!(" peer_ip='{peer}'"), "user");
        bed.write_conf(&format!(
            "<CONF><default><file_system><access><paths>{paths}</paths></access></file_system></default></CONF>"
        ))
        .await;
        assert_eq!(list(&bed, MAX, "/").await, Ok(vec![name.to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_those_that_both_the_account_and_the_file_give() {
    let bed = Bed::new().await;
    bed.file("f", 10);
    bed.file("root/g", 10);
    let set = |what: &str| format!("set_user_data;user_name,lea;{what}");
    for (what, up, down, browse) in [
        ("read_allowed,false", true, false, true),
        ("write_allowed,no", false, true, true),
        ("dir_allowed,false", true, true, false),
        ("authorization_transfer_in_value,deny", false, true, true),
        ("authorization_transfer_out_value,deny", true, false, true),
        ("authorization_transfer_in_value,token", false, true, true),
        ("authorization_transfer_out_value,token", true, false, true),
        (
            "authorization_transfer_in_external_provider_url,http://a;authorization_transfer_in_external_provider_soap_action,b",
            false,
            true,
            true,
        ),
        (
            "authorization_transfer_out_external_provider_url,http://a;authorization_transfer_out_external_provider_soap_action,b",
            true,
            false,
            true,
        ),
    ] {
        bed.configure(&[&set(what)]).await;
        let sent = bed.upload(LEA, &["f"], "/").await;
        let fetched = bed.download(LEA, &["g"]).await;
        let code = if what.contains("token") || what.contains("external") {
            34
        } else {
            37
        };
        for (ran, may) in [(&sent, up), (&fetched, down)] {
            match may {
                true => assert_eq!(ran.done().files_failed, 0, "{what}"),
                false => assert_eq!(ran.code(), code, "{what}"),
            }
        }
        let listed = list(&bed, LEA, "/").await;
        assert_eq!(listed.is_ok(), browse, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_restrictions_hide_is_not_listed_fetched_replaced_or_made() {
    let bed = Bed::new().await;
    for name in [
        "pub/a",
        "pub/deep/b",
        "pub/x.tmp",
        "pub/secret/c",
        "closed/d",
    ] {
        bed.file(&format!("root/{name}"), 10);
    }
    bed.file("f", 20);
    bed.file("tree/pub/new", 20);
    bed.file("tree/closed/new", 20);
    std::os::unix::fs::symlink("../closed/d", bed.path("root/pub/link")).unwrap();
    bed.configure(&[
        "set_user_data;user_name,lea;file_restriction,|file:///ROOT/root/pub/*|!*.tmp|!*/secret*",
    ])
    .await;
    assert_eq!(list(&bed, LEA, "/").await, Ok(vec!["pub".to_owned()]));
    let names = list(&bed, LEA, "/pub").await.unwrap();
    assert_eq!(names, ["a", "deep", "link"]);
    for hidden in ["/closed", "/pub/secret", "/pub/x.tmp"] {
        assert_eq!(list(&bed, LEA, hidden).await, Err(4), "{hidden}");
        assert_eq!(bed.download(LEA, &[hidden]).await.code(), 4, "{hidden}");
    }
    let all = bed.download(LEA, &["/"]).await;
    assert_eq!(all.done().files_done, 2);
    assert!(bed.path("back/pub/a").exists() && bed.path("back/pub/deep/b").exists());
    assert!(!bed.path("back/pub/link").exists(), "links lead anywhere");
    // Nothing is made or replaced there either.
    assert_eq!(bed.upload(LEA, &["f"], "/closed/d").await.code(), 4);
    assert_eq!(bed.upload(LEA, &["f"], "/pub/y.tmp").await.code(), 41);
    let some = bed.upload(LEA, &["tree/pub", "tree/closed"], "/").await;
    assert_eq!(some.code(), 27);
    assert!(bed.path("root/pub/new").exists() && !bed.path("root/closed/new").exists());
    assert_eq!(fs::read(bed.path("root/closed/d")).unwrap().len(), 10);
    // Instead of a docroot: the whole machine, as far as it matches.
    bed.configure(&["set_user_data;user_name,max;file_restriction,|file:///ROOT/other/*"])
        .await;
    bed.file("other/e", 1);
    let path = |name: &str| bed.path(name).display().to_string();
    assert_eq!(
        bed.download(MAX, &[&path("other/e")])
            .await
            .done()
            .files_done,
        1
    );
    assert_eq!(bed.download(MAX, &[&path("root/pub/a")]).await.code(), 4);
    assert_eq!(bed.download(MAX, &["/etc/passwd"]).await.code(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn ciphers_are_those_that_the_file_allows() {
    let bed = Bed::new().await;
    bed.file("f", 10);
    use DatagramCipher::{Aes128Gcm as A128, Aes256Gcm as A256, None as Plain};
    let options = |ciphers: &[DatagramCipher]| TransferOptions {
        ciphers: ciphers.to_vec(),
        overwrite: transfer_spec::OverwritePolicy::Always,
        ..usual()
    };
    for (allowed, asked, granted) in [
        ("any", &[A128][..], Some(A128)),
        ("any", &[Plain], None),
        ("aes-128", &[A256, A128], Some(A256)),
        ("aes-192", &[A128, A256], Some(A256)),
        ("aes-256-cfb", &[A128], None),
        ("aes-256", &[A128, A256], Some(A256)),
        ("none", &[A128, Plain], Some(Plain)),
        ("none", &[A128], None),
    ] {
        bed.configure(&[&format!(
            "set_node_data;transfer_encryption_allowed_cipher,{allowed}"
        )])
        .await;
        let ran = bed
            .run(LEA, bed.upload_job(&["f"], "/"), &options(asked))
            .await;
        match granted {
            Some(cipher) => assert_eq!(ran.started().cipher, cipher, "{allowed}"),
            None => assert_eq!(ran.code(), 65, "{allowed}"),
        }
    }
    bed.configure(&[
        "set_node_data;transfer_encryption_allowed_cipher,aes-256;transfer_encryption_strict_allowed_cipher,false",
    ])
    .await;
    let ran = bed
        .run(LEA, bed.upload_job(&["f"], "/"), &options(&[A128]))
        .await;
    assert_eq!(ran.started().cipher, A128);
    bed.configure(&["set_node_data;transfer_encryption_fips_mode,required"])
        .await;
    assert_eq!(bed.upload(LEA, &["f"], "/").await.code(), 65);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_be_protected_at_rest_and_is_not_is_refused() {
    let bed = Bed::new().await;
    bed.file("f", 10);
    bed.file("root/g", 10);
    let protected = async |passphrase: &str| {
        let passphrase = Passphrase::new(passphrase).unwrap();
        let is_strong = passphrase.is_strong();
        let ring = KeyRing::new(passphrase, MemoryCeiling::DEFAULT);
        let batch = ring.new_batch(Cost::DEFAULT, &AtomicBool::new(false));
        let protection = Protection::new(batch.unwrap(), is_strong);
        let Job::Upload { sources, .. } = bed.upload_job(&["f"], "/") else {
            unreachable!("asked for");
        };
        let job = Job::Upload {
            sources: sources.protected(protection),
            destination: b"/".to_vec(),
        };
        bed.run(LEA, job, &usual()).await
    };
    for (option, code) in [
        ("content_protection_required,true", 37),
        ("content_protection_secret,hunter2", 50),
    ] {
        bed.configure(&[&format!("set_node_data;transfer_encryption_{option}")])
            .await;
        assert_eq!(bed.upload(LEA, &["f"], "/").await.code(), code, "{option}");
        assert_eq!(
            bed.download(LEA, &["g"]).await.done().files_failed,
            0,
            "{option}"
        );
    }
    bed.configure(&[
        "set_node_data;transfer_encryption_content_protection_required,true",
        "set_node_data;transfer_encryption_content_protection_strong_pass_required,true",
    ])
    .await;
    assert_eq!(protected("easily guessed").await.code(), 37);
    assert!(!bed.path("root/f.aspera-env").exists());
    assert_eq!(protected("not 1 to guess!").await.done().files_done, 1);
    bed.configure(&[
        "set_node_data;transfer_encryption_content_protection_strong_pass_required,true",
    ])
    .await;
    assert_eq!(protected("easily guessed").await.code(), 37);
    assert!(!bed.path("root/f").exists());
    assert_eq!(bed.upload(LEA, &["f"], "/").await.done().files_done, 1);
}
