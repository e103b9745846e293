//! Codes that need a scene of their own: what the system refuses to the program, and what stands in the way of a name.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use support::{
    PASSWORD, Run, Site, assert_nothing_final, content, names,
    namespace::{inside, site_in_namespace},
    skipped,
};

/// An upload of `f` by an account that knows the server, behind a program that takes something from it. If the server
/// has the file, both sides read it.
fn upload_behind(site: &Site, wrapper: &[&str]) -> Run {
    let host = format!("lea@{}:", site.server.address);
    let words = ["upload", "--resume", "3", "--retry", "0", "f", &host];
    let mut client = site.bed.wrapped(wrapper, words);
    Run::of(client.env("ASPERA_SCP_PASS", PASSWORD).spawn().unwrap())
}

fn site_with_file() -> Site {
    let site = Site::new();
    site.bed.file("f", 100_000);
    site.lea(&["ls", "HOST:"]).assert_success();
    site
}

fn exists(program: &str) -> bool {
    let version = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_there = version.is_ok();
    if !is_there {
        skipped(&format!("no {program} here"));
    }
    is_there
}

/// Code 23.
#[test]
fn too_few_descriptors_are_an_error_whenever_they_run_out() {
    if !exists("prlimit") {
        return;
    }
    let site = site_with_file();
    let mut seen = Vec::new();
    for limit in 4..40 {
        let run = upload_behind(&site, &["prlimit", &format!("--nofile={limit}")]);
        assert!(!run.err.contains("panicked"), "{limit}: {}", run.err);
        match run.status {
            0 => break,
            // The system could not even load the program.
            127 => {}
            _ => {
                assert!(run.err.contains(" (FASP code "), "{limit}: {}", run.err);
                seen.push(run.err);
            }
        }
        assert_nothing_final(&site.path("root"));
    }
    let told = seen.iter().filter(|err| err.contains("(FASP code 23)"));
    assert!(told.count() > 0, "{seen:?}");
    assert!(fs::read(site.path("root/f")).unwrap() == content(100_000));
}

/// Code 33.
#[test]
fn too_few_threads_are_an_error_whenever_they_run_out() {
    if !exists("prlimit") || !exists("setpriv") || !support::namespace::is_root() {
        skipped("only root can become an account that runs nothing else");
        return;
    }
    let site = site_with_file();
    // A number that no account has, so that only this program counts against its limit.
    let user = 1_400_000_000 + std::process::id();
    let reuid = format!("--reuid={user}");
    for path in ["", "f", "home", "home/.config", "home/.config/connect"] {
        std::os::unix::fs::chown(site.path(path), Some(user), None).unwrap();
    }
    let known = site.path("home/.config/connect/known_hosts");
    std::os::unix::fs::chown(known, Some(user), None).unwrap();
    let refusals_until_success = || {
        let limited = |limit: &usize| {
            let limit = format!("--nproc={limit}");
            let wrapper = ["prlimit", &limit, "setpriv", &reuid, "--clear-groups"];
            let run = upload_behind(&site, &wrapper);
            assert!(!run.err.contains("panicked"), "{limit}: {}", run.err);
            if run.status != 0 {
                run.assert_refused(5, 33);
            }
            run.status != 0
        };
        let refusals = (1..40).take_while(limited).count();
        assert!(fs::read(site.path("root/f")).unwrap() == content(100_000));
        refusals
    };
    assert!(refusals_until_success() > 0);
    // The thread that compares is one more.
    assert!(refusals_until_success() > 0);
}

/// Code 31.
#[test]
fn a_port_that_somebody_has_is_told() {
    let site = Site::new();
    let address = site.server.address.to_string();
    let words = ["server", "start", "--state", "other", "--listen", &address];
    Run::of(site.bed.program(words).spawn().unwrap()).assert_refused(1, 31);
}

/// Code 36.
#[test]
fn output_that_cannot_be_written_is_told() {
    let site = Site::new();
    site.bed.file("root/f", 1);
    let Ok(full) = fs::File::options().write(true).open("/dev/full") else {
        skipped("no /dev/full here");
        return;
    };
    let mut client = site.client("lea", PASSWORD, &["ls", "--accept-new-host-key", "HOST:"]);
    Run::of(client.stdout(full).spawn().unwrap()).assert_refused(1, 36);
}

/// Code 63, F30: links that lead nowhere else than to themselves, as a source and somewhere in one.
#[test]
fn f30_a_loop_of_links_is_told_and_costs_nothing_else() {
    let site = Site::new();
    fs::create_dir(site.path("d")).unwrap();
    site.bed.file("d/f", 10);
    symlink(".", site.path("d/above")).unwrap();
    symlink("b", site.path("a")).unwrap();
    symlink("a", site.path("b")).unwrap();
    site.lea(&["upload", "a", "HOST:"]).assert_refused(1, 63);
    let run = site.lea(&["upload", "d", "HOST:"]);
    assert_eq!(run.status, 3, "{}", run.err);
    assert!(
        run.err
            .contains("failed: d/above: symbolic links form a loop (FASP code 63)"),
        "{}",
        run.err
    );
    assert_eq!(names(&site.path("root")), ["d/", "d/f"]);
}

/// Code 64.
#[test]
fn a_target_that_cannot_be_replaced_stays_as_it_is() {
    // The system lets nobody rename over the root of a mount.
    let mount = "echo kept > root/f && mount --bind root/f root/f";
    let Some(site) = site_in_namespace(mount) else {
        return;
    };
    site.bed.file("f", 100_000);
    let run = site.lea(&["upload", "--overwrite", "always", "f", "HOST:"]);
    run.assert_refused(1, 64);
    assert_eq!(fs::read(inside(&site).join("f")).unwrap(), b"kept\n");
}

/// Code 65.
#[test]
fn a_cipher_that_the_server_does_not_allow_is_told() {
    let site = Site::new();
    site.bed.file("f", 10);
    let run = site.lea(&["upload", "-c", "none", "f", "HOST:"]);
    run.assert_refused(1, 65);
    assert!(run.err.contains("aes-128-gcm"), "{}", run.err);
    assert_eq!(names(&site.path("root")), [""; 0]);
}
