#![allow(clippy::disallowed_methods, reason = "test set-up")]

use super::*;
use std::fs;

const KEY_A: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
const KEY_B: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

fn list() -> (tempfile::TempDir, KnownHosts) {
    let dir = tempfile::tempdir().unwrap();
    let hosts = KnownHosts::new(dir.path().join("sub/known_hosts"));
    (dir, hosts)
}

fn write(hosts: &KnownHosts, text: &str) {
    user_file::write(hosts.path(), text.as_bytes()).unwrap();
}

#[test]
fn h5_an_added_host_is_known_on_its_port_only_and_its_name_is_not_readable() {
    let (_dir, hosts) = list();
    assert_eq!(
        hosts.check("a.example", 33001, &key(KEY_A)).unwrap(),
        Verdict::Unknown
    );
    hosts.add("a.example", 33001, &key(KEY_A)).unwrap();
    assert_eq!(
        hosts.check("a.example", 33001, &key(KEY_A)).unwrap(),
        Verdict::Known
    );
    assert_eq!(
        hosts.check("a.example", 22, &key(KEY_A)).unwrap(),
        Verdict::Unknown
    );
    assert_eq!(
        hosts.check("b.example", 33001, &key(KEY_A)).unwrap(),
        Verdict::Unknown
    );
    assert_eq!(
        hosts.key_types("a.example", 33001).unwrap(),
        [Algorithm::Ed25519]
    );
    let text = fs::read_to_string(hosts.path()).unwrap();
    assert!(!text.contains("example"), "{text}");
    // Another program has seen the server for the first time too.
    hosts.add("a.example", 33001, &key(KEY_A)).unwrap();
    assert_eq!(fs::read_to_string(hosts.path()).unwrap(), text);
    assert!(
        hosts.add("a.example", 33001, &key(KEY_B)).is_err(),
        "one entry per type"
    );
}

#[test]
fn h5_another_key_and_another_type_count_as_changed() {
    let (_dir, hosts) = list();
    write(
        &hosts,
        &format!("# comment\nh,[h]:33001 {KEY_A}\n@revoked h {KEY_B}\n*.w {KEY_A}"),
    );
    assert_eq!(
        hosts.check("h", 33001, &key(KEY_B)).unwrap(),
        Verdict::Changed { line: 2 }
    );
    assert_eq!(
        hosts.check("h", 22, &key(KEY_B)).unwrap(),
        Verdict::Revoked { line: 3 }
    );
    assert_eq!(
        hosts.check("x.w", 22, &key(KEY_A)).unwrap(),
        Verdict::Unknown
    );
    let p256 = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";
    assert_eq!(
        hosts.check("h", 22, &key(p256)).unwrap(),
        Verdict::Changed { line: 2 }
    );
    hosts.add("new", 22, &key(KEY_A)).unwrap();
    assert_eq!(
        hosts.check("x.w", 22, &key(KEY_A)).unwrap(),
        Verdict::Unknown
    );
    assert_eq!(hosts.check("new", 22, &key(KEY_A)).unwrap(), Verdict::Known);
}

#[test]
fn entries_hashed_by_openssh_are_found() {
    let program = std::process::Command::new("ssh-keygen").arg("-?").output();
    if program.is_err() {
        println!("skipped: no ssh-keygen here");
        return;
    }
    let (_dir, hosts) = list();
    write(&hosts, &format!("[h.example]:33001 {KEY_A}\n"));
    let hashed = std::process::Command::new("ssh-keygen")
        .args(["-H", "-f"])
        .arg(hosts.path())
        .output()
        .unwrap();
    assert!(hashed.status.success());
    assert!(
        !fs::read_to_string(hosts.path())
            .unwrap()
            .contains("example")
    );
    assert_eq!(
        hosts.check("h.example", 33001, &key(KEY_A)).unwrap(),
        Verdict::Known
    );
}

#[cfg(unix)]
#[test]
fn c3_the_list_is_private_to_write_and_refused_when_others_may() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, hosts) = list();
    hosts.add("h", 22, &key(KEY_A)).unwrap();
    let mode = fs::metadata(hosts.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(hosts.path().parent().unwrap())
            .unwrap()
            .count(),
        1
    );
    fs::set_permissions(hosts.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let error = hosts.check("h", 22, &key(KEY_A)).unwrap_err();
    assert!(matches!(error, Error::UserFile { .. }));
}

#[test]
fn hosts_that_are_added_at_once_all_stay() {
    let (_dir, hosts) = list();
    let names: Vec<_> = (0..16).map(|n| format!("host-{n}.example")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| hosts.add(name, 33001, &key(KEY_A)).unwrap());
        }
    });
    for name in &names {
        let verdict = hosts.check(name, 33001, &key(KEY_A)).unwrap();
        assert_eq!(verdict, Verdict::Known, "{name}");
    }
}
