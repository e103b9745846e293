//! The demo, as somebody runs it who has just built the program.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::fs;

use support::{Bed, Run};

#[test]
fn the_demo_shows_its_transfers_and_leaves_nothing_behind() {
    let bed = Bed::new();
    fs::create_dir(bed.path("tmp")).unwrap();
    let mut demo = bed.program(["demo", "--size", "200K"]);
    let run = Run::of(demo.env("TMPDIR", bed.path("tmp")).spawn().unwrap());
    run.assert_success();
    assert!(run.out.contains("SHA-256"), "{}", run.out);
    assert_eq!(support::names(&bed.path("tmp")), [""; 0]);
    assert_eq!(support::names(&bed.path("home")), [""; 0]);
}
