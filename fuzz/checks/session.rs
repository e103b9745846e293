//! A session whose peer has the keys: each byte string is a list of what that peer does.

use std::collections::BTreeMap;
use std::time::Duration;

use fasp_core::Role;
use fasp_core::testing::Hostile;

/// Enough to reach every state, few enough to keep a run short.
const MAX_STEPS: usize = 200;
const FILE: u64 = 300_000;

/// Takes numbers and bytes off the front of the input; what is missing is zero.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn number(&mut self, size: usize) -> u64 {
        self.bytes(size)
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        head
    }
}

pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script(bytes);
    let role = match script.byte() & 1 {
        0 => Role::Sender,
        _ => Role::Receiver,
    };
    let mut peer = Hostile::new(role);
    let mut expected = BTreeMap::new();
    if role == Role::Sender {
        peer.session.announce(0, FILE);
        peer.session.end_list(1, 0);
    }
    for _ in 0..MAX_STEPS {
        if script.0.is_empty() {
            break;
        }
        step(&mut peer, role, &mut expected, &mut script);
        for write in peer.writes.drain(..) {
            let size = expected.get(&write.file).copied();
            let end = write.offset.checked_add(write.length as u64);
            assert!(
                end.is_some_and(|end| Some(end) <= size),
                "{write:?} of {size:?}"
            );
        }
    }
    // Whatever was said, the session comes to its end by itself.
    for _ in 0..40 {
        peer.wait(Duration::from_secs(10));
    }
    assert!(peer.closed().is_some() && peer.session.is_closed());
}

fn step(
    peer: &mut Hostile,
    role: Role,
    expected: &mut BTreeMap<u32, u64>,
    script: &mut Script<'_>,
) {
    match script.byte() % 9 {
        0 => {
            let length = usize::from(script.byte());
            peer.send(script.bytes(length));
        }
        1 => {
            let (file, offset) = (u32::from(script.byte() % 4), script.number(3));
            let length = usize::from(script.byte()) + 1;
            peer.send(&Hostile::data(file, offset, &vec![0; length]));
        }
        2 => {
            let (number, offset) = (u32::from(script.byte()), script.number(2) as u32);
            let (last, length) = (script.byte() & 1 != 0, usize::from(script.byte()));
            let page = Hostile::page(number, offset, last, script.bytes(length));
            peer.send(&page);
        }
        3 => report(peer, script),
        4 => peer.wait(Duration::from_millis(script.number(2) % 3000)),
        5 => peer.send(&Hostile::floor(script.number(2))),
        6 => {
            let number = script.number(2);
            peer.jump(number << (script.byte() % 16));
        }
        7 if role == Role::Receiver => {
            let (file, size) = (u32::from(script.byte() % 4), script.number(3));
            if !expected.contains_key(&file) && peer.session.request_file(file, size, &[]) {
                expected.insert(file, size);
            }
        }
        _ => {
            let held = peer.session.page_bytes_held();
            peer.session.page_consumed(script.number(2).min(held));
        }
    }
}

/// Reports what was sent, from the newest on, with gaps that the script chooses.
fn report(peer: &mut Hostile, script: &mut Script<'_>) {
    let mut end = peer.heard.iter().max().copied().unwrap_or_default();
    let mut ranges = Vec::new();
    for _ in 0..=script.byte() % 16 {
        let start = end.saturating_sub(u64::from(script.byte()));
        ranges.push(start..=end);
        match start.checked_sub(2 + u64::from(script.byte())) {
            Some(next) => end = next,
            None => break,
        }
    }
    let credit = script.number(3);
    let report = peer.report(&ranges, credit);
    peer.send(&report);
}
