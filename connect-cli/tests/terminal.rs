//! The program at a terminal: questions, what is typed, the bar, and Ctrl-C.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::ffi::OsStringExt as _,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use support::{Site, skipped};

/// How long anything may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ctrl-C, as the terminal's driver gets it.
const INTERRUPT: &str = "\x03";

/// A terminal of 80 columns with the program on it.
struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Kept open, so that its state can be asked for when the program has ended.
    line: File,
    program: Child,
    seen: usize,
}

impl Terminal {
    /// Nothing, and a loud word, where a program cannot be given a terminal.
    fn new(site: &Site, words: &[&str]) -> Option<Self> {
        let found = Command::new("setsid")
            .arg("-V")
            .stdout(Stdio::null())
            .status();
        if !found.is_ok_and(|status| status.success()) {
            skipped("no setsid here");
            return None;
        }
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_bytes();
        let line = File::options()
            .read(true)
            .write(true)
            .open(std::ffi::OsString::from_vec(name))
            .unwrap();
        let host = format!("lea@{}", site.server.address);
        let words = words.iter().map(|word| word.replace("HOST", &host));
        let program = site
            .bed
            .wrapped(&["setsid", "-c"], words)
            .env("TERM", "xterm")
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line.try_clone().unwrap())
            .spawn()
            .unwrap();
        let keyboard = File::from(master);
        let screen = Arc::default();
        let (mut output, shared) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || watch(&mut output, &shared));
        Some(Self {
            keyboard,
            screen,
            line,
            program,
            seen: 0,
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits for a text behind the one that was waited for before.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let began = Instant::now();
        loop {
            let all = self.text();
            if let Some(at) = all[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            assert!(began.elapsed() < PATIENCE, "no {text:?} in {all:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    fn shows_what_is_typed(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    fn status(&mut self) -> i32 {
        self.program.wait().unwrap().code().unwrap()
    }
}

fn watch(output: &mut File, screen: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = output.read(&mut buffer) {
        screen.lock().unwrap().extend_from_slice(&buffer[..length]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended, which the test has noticed then.
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

#[test]
fn a_first_upload_asks_hides_draws_and_stops_on_ctrl_c() {
    let site = Site::new();
    site.bed.file("f", 30_000_000);
    let words = ["upload", "-l", "20m", "f", "HOST:"];
    let Some(mut terminal) = Terminal::new(&site, &words) else {
        return;
    };
    terminal.expect("was never seen before");
    terminal.expect("SHA256:");
    terminal.expect("(yes/no)? ");
    terminal.type_in("yes\n");
    terminal.expect("password of lea@127.0.0.1: ");
    assert!(!terminal.shows_what_is_typed());
    terminal.type_in("secret\n");
    terminal.expect("connected to ");
    assert!(terminal.shows_what_is_typed());
    terminal.expect("Mbit/s  ETA ");
    terminal.expect("limited by the target rate");
    terminal.type_in(INTERRUPT);
    terminal.expect("stopping; once more to stop at once");
    terminal.expect("error: cancelled (FASP code 28)");
    terminal.expect("hint: run the same command again");
    assert_eq!(terminal.status(), 130);
    // The bar and its `^C` are gone before anything else is written: both were on the line that is cleared.
    let text = terminal.text();
    let before = text[..text.find("stopping").unwrap()].rsplit_once('\n');
    let line = before.unwrap().1;
    assert!(
        line.contains("^C") && line.ends_with("\r\x1b[2K"),
        "{line:?}"
    );
    let last = line.rsplit("\x1b[2K").nth(1).unwrap();
    assert!(last.trim_matches('\r').len() < 80, "{last:?}");
    assert!(!terminal.text().contains("secret"), "{}", terminal.text());
    support::assert_nothing_final(&site.path("root"));
}

#[test]
fn a_refused_host_key_and_an_interrupted_question_leave_the_terminal_as_it_was() {
    let site = Site::new();
    let words = ["ls", "HOST:"];
    let Some(mut terminal) = Terminal::new(&site, &words) else {
        return;
    };
    terminal.expect("(yes/no)? ");
    terminal.type_in("no\n");
    terminal.expect("(FASP code 51)");
    assert_eq!(terminal.status(), 4);
    assert!(!site.path("home/.config/connect/known_hosts").exists());
    let words = ["ls", "--accept-new-host-key", "HOST:"];
    let mut terminal = Terminal::new(&site, &words).unwrap();
    terminal.expect("password of ");
    terminal.type_in(INTERRUPT);
    terminal.expect("error: cancelled (FASP code 28)");
    assert_eq!(terminal.status(), 130);
    assert!(terminal.shows_what_is_typed());
}
