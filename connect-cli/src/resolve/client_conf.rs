//! What a client's `aspera.conf` says about its transfers: it fills in what the command line leaves out, and its caps hold.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use aspera_conf::{
    Conf, Record,
    effective::{Bandwidth, Effective, Files, RateRule},
    resolve::{Origin, Person, Resolver, lookup},
    schema::{Section, Value},
    store,
};
use docroot::Suffixes;
use fasp_core::{DatagramCipher, Rate, RatePolicy};
use fasp_net::request::TransferOptions;
use transfer_spec::Direction;

use crate::{args::TransferArgs, error::CommandError};

/// Applies the file that is found, if there is one.
///
/// # Errors
///
/// For a file that is there and cannot be used: no transfer begins with settings that were not read.
pub(super) fn apply(
    options: &mut TransferOptions,
    args: &TransferArgs,
    direction: Direction,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(), CommandError> {
    let asked = args.partial_file_suffix.as_deref();
    let Some((_, conf)) = store::find_client_file(&variable)? else {
        options.suffixes = suffixes(None, asked)?;
        return Ok(());
    };
    let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    let (user, home) = (text("USER").unwrap_or_default(), text("HOME"));
    let person = Person {
        name: &user,
        home: home.as_deref(),
        ..Person::default()
    };
    let effective = Effective::of(&Resolver::new(&conf, person))?;
    options.suffixes = suffixes(Some(&effective.files), asked)?;
    // In and out are as this machine sees it.
    rates(
        options,
        match direction {
            Direction::Upload => &effective.outgoing,
            Direction::Download => &effective.incoming,
        },
    );
    if args.cipher.is_none()
        && let Some(ciphers) = ciphers(&conf)
    {
        options.ciphers = ciphers;
    }
    Ok(())
}

/// How unfinished files end; an empty suffix is the usual one.
fn suffixes(files: Option<&Files>, asked: Option<&OsStr>) -> Result<Suffixes, CommandError> {
    let usual = Suffixes::default();
    let said = |suffix: Option<&Option<String>>| suffix.cloned().flatten().map(String::into_bytes);
    let asked = asked.filter(|suffix| !suffix.is_empty());
    let partial = asked
        .map(|suffix| suffix.as_bytes().to_vec())
        .or_else(|| said(files?.partial_suffix.said()))
        .unwrap_or_else(|| usual.partial().to_vec());
    let checkpoint = files
        .and_then(|files| said(files.resume_suffix.said()))
        .unwrap_or_else(|| usual.checkpoint().to_vec());
    Suffixes::new(&partial, &checkpoint).map_err(|why| {
        CommandError::arguments(
            format!("the suffixes of unfinished files cannot be used: {why}"),
            "none may be the end of the other, nor have a slash: --partial-file-suffix, connect-cli conf get partial_file_suffix",
        )
    })
}

fn rates(options: &mut TransferOptions, bandwidth: &Bandwidth) {
    options.target_rate = bounded(&bandwidth.target, options.target_rate);
    let min = (options.min_rate > Rate::ZERO).then_some(options.min_rate);
    options.min_rate = bounded(&bandwidth.minimum, min).unwrap_or(Rate::ZERO);
    if let Some(target) = options.target_rate {
        options.min_rate = options.min_rate.min(target);
    }
    if options.policy.is_none() {
        let default = bandwidth.policy.default.said().copied();
        // A policy that asks for a rate needs one.
        let has_rate = options.target_rate.is_some();
        options.policy = default.filter(|policy| has_rate || *policy != RatePolicy::Fixed);
    }
}

/// The rate that was asked for, else the default; at most the cap.
fn bounded(rule: &RateRule, asked: Option<Rate>) -> Option<Rate> {
    let default = rule.default.said().copied();
    let rate = asked.or_else(|| default.filter(|rate| *rate > Rate::ZERO))?;
    let cap = rule.cap.said().copied().flatten();
    Some(cap.map_or(rate, |cap| rate.min(cap)))
}

/// The ciphers for the one that the file names, if it names one.
fn ciphers(conf: &Conf) -> Option<Vec<DatagramCipher>> {
    let record = Record::Section(Section::Client);
    let setting = lookup(conf, &record, "transport_cipher").ok()?;
    match (setting.origin, setting.value?) {
        (Origin::BuiltIn, _) => None,
        (_, Value::Choice("none")) => Some(vec![DatagramCipher::None]),
        // A server that demands longer keys gets them.
        (_, Value::Choice(word)) if word.starts_with("aes-128") => {
            Some(vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm])
        }
        _ => Some(vec![DatagramCipher::Aes256Gcm]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(conf: &[&str], asked: TransferOptions, direction: Direction) -> TransferOptions {
        let mut file = Conf::new();
        for line in conf {
            let command = aspera_conf::Command::parse(line).unwrap();
            file.apply(&command).unwrap();
        }
        let effective = Effective::of(&Resolver::new(&file, Person::default())).unwrap();
        let mut options = asked;
        rates(
            &mut options,
            match direction {
                Direction::Upload => &effective.outgoing,
                Direction::Download => &effective.incoming,
            },
        );
        if let Some(found) = ciphers(&file) {
            options.ciphers = found;
        }
        options
    }

    #[test]
    fn a_file_fills_in_what_nobody_typed_and_its_caps_hold() {
        let flow = "transfer_out_bandwidth_flow";
        let line = format!(
            "set_node_data;{flow}_target_rate_default,20000;{flow}_target_rate_cap,30000;{flow}_min_rate_default,1000;{flow}_policy_default,high"
        );
        let conf = [line.as_str(), "set_client_data;transport_cipher,aes-256"];
        let usual = TransferOptions::default;
        let filled = options(&conf, usual(), Direction::Upload);
        assert_eq!(filled.target_rate, Some(Rate::from_mbps(20)));
        assert_eq!(filled.min_rate, Rate::from_mbps(1));
        assert_eq!(filled.policy, Some(RatePolicy::High));
        assert_eq!(filled.ciphers, [DatagramCipher::Aes256Gcm]);
        let asked = TransferOptions {
            target_rate: Some(Rate::from_mbps(90)),
            policy: Some(RatePolicy::Low),
            ..usual()
        };
        let capped = options(&conf, asked, Direction::Upload);
        assert_eq!(capped.target_rate, Some(Rate::from_mbps(30)));
        assert_eq!(capped.policy, Some(RatePolicy::Low));
        let other = options(&conf, usual(), Direction::Download);
        assert_eq!((other.target_rate, other.policy), (None, None));
        assert_eq!(options(&[], usual(), Direction::Upload), usual());
    }
}
