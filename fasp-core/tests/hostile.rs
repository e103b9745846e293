//! A peer that has the keys and lies, or that has none (rules W-5, W-10, W-12, W-13, W-25 to W-29, cases F61 to F63, F65, F66).

use std::time::Duration;

use fasp_core::testing::Hostile;
use fasp_core::{ErrorCode, MAX_PAGE, Record, Role};

const FILE: u64 = 50_000_000;

/// A server that sends one large file to the peer.
fn sender() -> Hostile {
    let mut peer = Hostile::new(Role::Sender);
    peer.session.announce(0, FILE);
    peer.session.end_list(1, 0);
    let mut want = Vec::new();
    Record::Want { first: 0, count: 1 }.encode(&mut want);
    peer.send(&Hostile::page(0, 0, true, &want));
    peer.wait(Duration::from_millis(20));
    assert!(
        peer.closed().is_none() && peer.heard.len() > 3,
        "{:?}",
        peer.heard
    );
    peer
}

fn receiver(size: u64) -> Hostile {
    let mut peer = Hostile::new(Role::Receiver);
    assert!(peer.session.request_file(0, size, &[]));
    peer
}

#[track_caller]
fn assert_protocol_error(peer: &Hostile) {
    let closed = peer.closed().expect("the session ends");
    assert_eq!(closed.error, Some(ErrorCode::Protocol), "{closed:?}");
}

/// Reports everything heard, honestly, every 10 ms.
fn run_honestly(peer: &mut Hostile, steps: u32) {
    for _ in 0..steps {
        peer.wait(Duration::from_millis(10));
        let mut numbers = peer.heard.clone();
        numbers.sort_unstable();
        numbers.reverse();
        let mut ranges: Vec<std::ops::RangeInclusive<u64>> = Vec::new();
        for n in numbers {
            match ranges.pop() {
                Some(last) if *last.start() == n + 1 => ranges.push(n..=*last.end()),
                Some(last) => ranges.extend([last, n..=n]),
                None => ranges.push(n..=n),
            }
        }
        ranges.truncate(256);
        let report = peer.report(&ranges, 1 << 20);
        peer.send(&report);
    }
}

#[test]
fn w25_f63_a_report_about_a_number_never_sent_ends_the_session() {
    let mut peer = sender();
    let beyond = peer.heard.iter().max().expect("some") + 50;
    let report = peer.report(&[beyond..=beyond], 0);
    peer.send(&report);
    assert_protocol_error(&peer);
}

#[test]
fn w25_f63_a_report_about_a_skipped_number_ends_the_session() {
    let mut peer = sender();
    // Nothing is lost on the way here, so a number that was not heard was left out.
    let skipped = (0..2000).find_map(|_| {
        run_honestly(&mut peer, 1);
        let highest = *peer.heard.iter().max().expect("some");
        (highest.saturating_sub(200)..highest).find(|n| !peer.heard.contains(n))
    });
    let skipped = skipped.expect("about one in a thousand is left out");
    assert!(peer.closed().is_none(), "{:?}", peer.closed());
    let report = peer.report(&[skipped..=skipped], 0);
    peer.send(&report);
    assert_protocol_error(&peer);
}

#[test]
fn w26_f63_a_peer_that_reports_nothing_delivered_costs_no_more_than_the_rate() {
    let mut peer = sender();
    let before = peer.session.statistics().bytes_sent;
    // Only the newest number is reported, a thousand times a second: everything else counts as lost.
    for _ in 0..2000 {
        peer.wait(Duration::from_millis(1));
        let highest = *peer.heard.iter().max().expect("some");
        let report = peer.report(&[highest..=highest], 0);
        peer.send(&report);
    }
    let statistics = peer.session.statistics();
    let resent = statistics.payload_resent;
    let lost = statistics.datagrams_lost * u64::from(statistics.datagram_size);
    assert!(resent <= 3 * lost + 100_000, "{resent} {lost}");
    assert!(statistics.bytes_sent - before < 2 * FILE);
}

#[test]
fn w27_f63_a_storm_of_reports_is_ignored_beyond_a_thousand_a_second() {
    let mut peer = sender();
    let highest = *peer.heard.iter().max().expect("some");
    let before = peer.heard.len();
    for _ in 0..100_000 {
        let report = peer.report(&[highest..=highest], 0);
        peer.send(&report);
    }
    assert!(peer.closed().is_none());
    assert!(
        peer.heard.len() - before < 100,
        "{}",
        peer.heard.len() - before
    );
}

#[test]
fn w29_f66_data_beyond_the_announced_size_is_an_error_and_writes_nothing() {
    for (offset, length) in [
        (10_000, 1),
        (9_999, 2),
        (u64::MAX, 1),
        (u64::MAX - 10, 1000),
        (u64::from(u32::MAX) * 1400, 1400),
    ] {
        let mut peer = receiver(10_000);
        peer.send(&Hostile::data(0, offset, &vec![1; length]));
        assert_protocol_error(&peer);
        assert!(peer.writes.is_empty());
    }
}

#[test]
fn w29_data_of_files_not_asked_for_is_ignored() {
    let mut peer = receiver(10_000);
    peer.send(&Hostile::data(5, 0, &[1; 100]));
    assert!(peer.closed().is_none() && peer.writes.is_empty());
}

/// Code 22, which the receiver ends the session with.
#[test]
fn no_more_than_65536_files_are_received_at_once() {
    let mut peer = receiver(1);
    for file in 1..65_536 {
        assert!(peer.session.request_file(file, 1, &[]), "{file}");
    }
    assert!(!peer.session.request_file(65_536, 1, &[]));
}

#[test]
fn w28_scattered_bytes_are_dropped_beyond_65536_intervals() {
    let mut peer = receiver(1 << 40);
    for i in 0..70_000u64 {
        peer.send(&Hostile::data(0, i * 1000, &[1]));
    }
    assert!(peer.closed().is_none());
    assert!(peer.session.present(0).expect("open").len() <= 65_536);
}

#[test]
fn a_page_bomb_meets_limits_and_no_more_memory_than_the_credit() {
    let mut peer = receiver(10);
    peer.send(&Hostile::page(0, MAX_PAGE as u32, true, b"x"));
    assert_protocol_error(&peer);
    // Every page as large as possible and never finished.
    let mut peer = receiver(10);
    for number in 0..10_000 {
        peer.send(&Hostile::page(number, MAX_PAGE as u32 - 1, true, b"x"));
    }
    let held = peer.session.page_bytes_held();
    assert!(held <= 64 << 20, "{held}");
}

#[test]
fn w12_f65_a_jump_of_the_packet_number_derives_nothing_and_harms_nothing() {
    let mut peer = receiver(10_000);
    peer.jump(4_000_000);
    peer.send(&Hostile::data(0, 0, &[1; 10]));
    assert_eq!(
        peer.writes.len(),
        1,
        "a jump within the epochs held is nothing special"
    );
    let dropped = peer.session.statistics().dropped;
    peer.jump(1 << 31);
    peer.send(&Hostile::data(0, 10, &[1; 10]));
    assert_eq!(peer.session.statistics().dropped, dropped + 1);
    assert!(peer.closed().is_none() && peer.writes.len() == 1);
}

#[test]
fn a_floor_above_everything_and_frames_cut_anywhere_do_no_harm() {
    let mut peer = receiver(10_000);
    peer.send(&Hostile::floor((1 << 62) - 1));
    assert!(peer.closed().is_none());
    peer.send(&Hostile::data(0, 0, &[1; 10]));
    assert_eq!(peer.writes.len(), 1);
    peer.send(&[0x06, 0x40]);
    assert_protocol_error(&peer);
}

/// Everything is lost again and again, and no number is heard twice.
#[test]
fn w5_what_is_sent_again_travels_under_a_new_number() {
    let mut peer = sender();
    for _ in 0..300 {
        peer.wait(Duration::from_millis(5));
        let highest = *peer.heard.iter().max().expect("some");
        let report = peer.report(&[highest..=highest], 0);
        peer.send(&report);
    }
    assert!(peer.session.statistics().payload_resent > 100_000);
    let mut numbers = peer.heard.clone();
    numbers.sort_unstable();
    let count = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
}

/// Also F61 and F62: whoever has no keys cannot move the window, answer a challenge or end anything.
#[test]
fn w10_w13_a_forged_datagram_is_counted_and_changes_nothing_else() {
    let mut peer = receiver(10_000);
    // What it has to say of itself.
    peer.wait(Duration::from_millis(50));
    let before = (peer.session.statistics(), peer.heard.len());
    let close = [0x08, 1, 0];
    // In the middle of the window, at its end, and as far ahead as keys are held.
    for number in [5, 1 << 16, 1 << 18, (1 << 22) - 1, 1 << 22] {
        for frames in [&close[..], &Hostile::data(0, 0, b"forged"), &[0; 1400]] {
            peer.forge(number, frames);
        }
    }
    let after = peer.session.statistics();
    assert_eq!(after.failed_openings, before.0.failed_openings + 15);
    assert_eq!(after.datagrams_received, before.0.datagrams_received);
    assert_eq!(peer.heard.len(), before.1, "W-17: no answer");
    assert!(peer.closed().is_none() && peer.writes.is_empty());
    // The number that comes next, far below the forged ones, is still taken.
    peer.send(&Hostile::data(0, 0, &[1; 10]));
    assert_eq!(peer.writes.len(), 1);
}

/// The time of a machine that slept comes in one piece. Five minutes are longer than the time-out, half of one is not.
#[test]
fn d10_f51_a_machine_that_slept_goes_on_or_gives_up_and_repeats_no_number() {
    let mut peer = sender();
    peer.wait(Duration::from_secs(30));
    assert!(peer.closed().is_none());
    let before = peer.session.statistics().payload_sent;
    run_honestly(&mut peer, 50);
    assert!(
        peer.session.statistics().payload_sent > before,
        "it goes on"
    );
    peer.wait(Duration::from_secs(300));
    let closed = peer.closed().expect("closed");
    assert_eq!(
        (closed.error, closed.by_peer),
        (Some(ErrorCode::Stalled), false)
    );
    let mut numbers = peer.heard.clone();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), peer.heard.len());
}
