//! File systems that are full, of which only so much may be used, or that have no room for all that files have. Most need
//! root for the mounts, and make them in namespaces of their own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use support::{
    Bed, PASSWORD, PROGRAM, Run, Site,
    namespace::{inside, is_root, serve_in_namespace},
    skipped,
};

/// Where the programs are that make file systems.
const PATH: &str = "PATH=$PATH:/usr/sbin:/sbin";

/// Whether these commands can be carried out in a mount namespace of their own; says so if not.
fn can_mount(bed: &Bed, mount: &str) -> bool {
    let done = is_root()
        && Command::new("unshare")
            .args(["-m", "sh", "-c", mount])
            .current_dir(bed.path(""))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !done {
        skipped(&format!("not possible here: {mount}"));
    }
    done
}

/// A site whose server sees this mount, if it can be made after some preparation.
fn site_with(prepare: &str, mount: &str) -> Option<Site> {
    let bed = Bed::new();
    bed.add_user("lea", &[]);
    let can_mount = can_mount(&bed, &format!("{PATH} && {prepare} && {mount}"));
    let mount = format!("{PATH} && {mount}");
    let server = can_mount.then(|| serve_in_namespace(&bed, &mount))??;
    Some(Site { bed, server })
}

/// What the server's namespace has at a path of the bed.
fn there(site: &Site, name: &str) -> PathBuf {
    inside(site).parent().unwrap().join(name)
}

/// A command of the shell where the server is.
fn beside(site: &Site, command: &str) -> Command {
    let id = site.server.id().to_string();
    let command = format!("{PATH}; cd '{}' && {command}", site.path("").display());
    let mut enter = Command::new("nsenter");
    enter.args(["-t", &id, "-m", "sh", "-c", &command]);
    enter.stdin(Stdio::piped()).stdout(Stdio::piped());
    enter.stderr(Stdio::piped());
    enter
}

/// Runs the program there with something to read.
fn run_beside(site: &Site, words: &str, input: &str) -> Run {
    let mut child = beside(site, &format!("'{PROGRAM}' {words}"))
        .spawn()
        .unwrap();
    // A program that does not read its input closes it, which is no failure of the test.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    Run::of(child)
}

/// Writes until there is no room for a single byte more.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
}

fn events(run: &Run, name: &str) -> Vec<Value> {
    let events = run
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == name).collect()
}

#[test]
fn f21_accounts_stay_as_they_are_when_the_disk_is_full() {
    let own = "mount -t tmpfs -o size=256k,mode=700 tmpfs state && cp -a kept/. state";
    let Some(site) = site_with("cp -a state kept", own) else {
        return;
    };
    let [users, ballast] = ["state/users.json", "state/ballast"].map(|name| there(&site, name));
    let before = fs::read(&users).unwrap();
    fill(&ballast);
    let add = "server user add --password-stdin --state state --docroot root bob";
    for words in [add, "server user remove --state state lea"] {
        let run = run_beside(&site, words, "secret\n");
        run.assert_refused(1, 25);
        assert_eq!(fs::read(&users).unwrap(), before, "{words:?}");
    }
    let state = fs::read_dir(there(&site, "state")).unwrap();
    let state: Vec<_> = state.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        state
            .iter()
            .all(|name| !name.to_string_lossy().ends_with(".new")),
        "{state:?}"
    );
    // Who has an account goes on.
    let content = site.bed.file("f", 100_000);
    site.lea(&["upload", "f", "HOST:"]).assert_success();
    assert!(fs::read(there(&site, "root/f")).unwrap() == content);
    fs::remove_file(&ballast).unwrap();
    run_beside(&site, add, "secret\n").assert_success();
    site.run("bob", PASSWORD, &["ls", "--accept-new-host-key", "HOST:"])
        .assert_success();
}

#[test]
fn f22_a_quota_that_is_used_up_is_err_25_and_the_rest_follows_when_there_is_more() {
    let prepare = "truncate -s 256M image && mkfs.btrfs -q image && mount -o loop image root \
        && btrfs -q quota enable root && btrfs -q subvolume create root/own \
        && btrfs -q qgroup limit 6M root/own && umount root";
    let Some(site) = site_with(prepare, "mount -o loop image root") else {
        return;
    };
    let content = site.bed.file("f", 20_000_000);
    site.lea(&["upload", "-l", "1g", "--retry", "0", "f", "HOST:own"])
        .assert_refused(1, 25);
    let left = fs::read_dir(there(&site, "root/own")).unwrap();
    for entry in left {
        let name = entry.unwrap().file_name();
        assert_ne!(name, "f");
    }
    let more = beside(&site, "btrfs -q qgroup limit none root/own").status();
    assert!(more.unwrap().success());
    site.lea(&["upload", "-l", "1g", "f", "HOST:own"])
        .assert_success();
    assert!(fs::read(there(&site, "root/own/f")).unwrap() == content);
}

/// Times of which most have no room on one file system or another, as seconds since 1970 and nanoseconds.
const TIMES: [(i64, u32); 6] = [
    // 1850, 1969, 1975, 2023, 2100, 9999.
    (-3_786_825_600, 0),
    (-1, 999_999_999),
    (157_766_400, 5),
    (1_700_000_000, 123_456_789),
    (4_102_444_800, 1),
    (253_402_300_799, 0),
];

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// Uploads files with these times; returns those of the files that do not have them, and those that are told not to.
fn upload_dated(site: &Site) -> (Vec<String>, Vec<String>) {
    fs::create_dir(site.path("src")).unwrap();
    for (index, (seconds, nanos)) in TIMES.into_iter().enumerate() {
        let path = site.path(&format!("src/{index}"));
        // Small ones are made in another way than large ones.
        let content = support::content(if index % 2 == 0 { 100 } else { 100_000 });
        fs::write(&path, &content).unwrap();
        let away = Duration::from_secs(seconds.unsigned_abs());
        let time = match seconds < 0 {
            true => SystemTime::UNIX_EPOCH - away,
            false => SystemTime::UNIX_EPOCH + away,
        };
        let time = time + Duration::from_nanos(nanos.into());
        File::open(&path).unwrap().set_modified(time).unwrap();
    }
    let run = site.lea(&["upload", "--json", "src", "HOST:"]);
    run.assert_success();
    let told = events(&run, "not_kept");
    assert!(
        told.iter()
            .all(|event| event["what"] == serde_json::json!(["times"])),
        "{told:?}"
    );
    let mut told: Vec<_> = told
        .iter()
        .map(|event| event["path"].as_str().unwrap().to_owned())
        .collect();
    told.sort();
    let differs = |name: &String| {
        let here = modified(&site.path(name));
        let there = modified(&there(site, &format!("root/{name}")));
        let apart = here
            .duration_since(there)
            .or_else(|e| Ok::<_, ()>(e.duration()));
        apart.unwrap() >= Duration::from_secs(3)
    };
    let names = (0..TIMES.len()).map(|index| format!("src/{index}"));
    for name in names.clone() {
        let [here, there] = [site.path(&name), there(site, &format!("root/{name}"))];
        assert!(
            fs::read(here).unwrap() == fs::read(there).unwrap(),
            "{name}"
        );
    }
    (names.filter(differs).collect(), told)
}

#[test]
fn f34_a_time_that_has_no_room_is_told() {
    // Of 128 bytes an inode has none for more than seconds of 32 bits.
    let prepare = "truncate -s 16M image && mkfs.ext4 -q -I 128 image";
    let Some(site) = site_with(prepare, "mount -o loop image root") else {
        return;
    };
    let (differing, told) = upload_dated(&site);
    assert_eq!(told, differing);
    assert!(differing.contains(&"src/4".to_owned()), "{differing:?}");
    assert!(!differing.contains(&"src/1".to_owned()), "{differing:?}");
    assert!(!differing.contains(&"src/3".to_owned()), "{differing:?}");
}

#[test]
fn f34_times_arrive_or_are_told_not_to() {
    let site = Site::new();
    let (differing, told) = upload_dated(&site);
    assert_eq!(told, differing);
    assert!(!differing.contains(&"src/3".to_owned()), "{differing:?}");
}
