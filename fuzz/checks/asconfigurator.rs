//! Lines of asconfigurator: each is refused and changes nothing, or leaves a file that can be read.

use aspera_conf::{Command, Conf, Verb};

pub(crate) fn check(bytes: &[u8]) {
    let mut conf = Conf::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => {
                drop((error.to_string(), error.hint()));
                continue;
            }
        };
        if command.verb == Verb::Get {
            drop(conf.report(&command.record, None));
            continue;
        }
        let before = conf.text().to_owned();
        match conf.apply(&command) {
            Ok(_) if command.verb == Verb::Delete => assert!(!conf.has(&command.record)),
            Ok(is_changed) => assert_eq!(is_changed, conf.text() != before),
            Err(error) => {
                drop(error.to_string());
                assert_eq!(conf.text(), before);
            }
        }
        Conf::parse(conf.text().as_bytes()).expect("what we write can be read");
    }
}
