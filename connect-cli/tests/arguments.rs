//! From what is typed to what a command needs, without touching anything.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};
use connect_cli::{
    args::{
        Cli, DemoArgs, DoctorArgs, DownloadArgs, ListArgs, ServerSessionArgs, ServerStartArgs,
        StateArgs, UploadArgs,
    },
    error::CommandError,
    exit::ExitStatus,
    resolve::{
        self, Carrier, Listing, LocalSource, LogDestination, NewHostKeys, TransferRequest, Work,
    },
};
use fasp_core::{DatagramCipher, Rate, RatePolicy};
use fasp_net::{
    request::{Sessions, TransferOptions},
    transfer::LocalDestination,
};
use fasp_server::log::LogFormat;
use transfer_spec::filter::FilterAction;
use transfer_spec::{FauxSource, OverwritePolicy, ResumePolicy, SymlinkPolicy};

/// A command line with nothing but the arguments under test.
#[derive(Debug, Parser)]
struct Only<T: Args> {
    #[command(flatten)]
    args: T,
}

fn parse<T: Args>(line: &str) -> Result<T, clap::Error> {
    let words = ["program"].into_iter().chain(line.split_whitespace());
    let matches = Only::<T>::command().try_get_matches_from(words)?;
    Only::<T>::from_arg_matches(&matches).map(|only| only.args)
}

fn environment(name: &str) -> Option<OsString> {
    (name == "USER").then(|| "ada".into())
}

fn empty_environment(_: &str) -> Option<OsString> {
    None
}

fn upload(line: &str) -> Result<TransferRequest, CommandError> {
    resolve::upload(parse(line).expect("the line parses"), environment)
}

fn download(line: &str) -> Result<TransferRequest, CommandError> {
    resolve::download(parse(line).expect("the line parses"), environment)
}

fn ls(line: &str) -> Result<Listing, CommandError> {
    resolve::ls(parse(line).expect("the line parses"), environment)
}

fn refused(result: Result<TransferRequest, CommandError>) -> (String, String) {
    let error = result.expect_err("the arguments do not fit together");
    assert_eq!(error.exit_status(), ExitStatus::Usage);
    (error.to_string(), error.hint().expect("there is a way out"))
}

#[test]
fn the_whole_command_line_is_consistent() {
    Cli::command().debug_assert();
    Only::<UploadArgs>::command().debug_assert();
    Only::<DownloadArgs>::command().debug_assert();
    Only::<ListArgs>::command().debug_assert();
    Only::<ServerStartArgs>::command().debug_assert();
    Only::<ServerSessionArgs>::command().debug_assert();
    Only::<DemoArgs>::command().debug_assert();
}

#[test]
fn every_help_has_examples() {
    let mut commands = vec![
        Only::<UploadArgs>::command(),
        Only::<DownloadArgs>::command(),
        Only::<ListArgs>::command(),
        Only::<ServerStartArgs>::command(),
        Only::<ServerSessionArgs>::command(),
        Only::<DemoArgs>::command(),
    ];
    leaves(Cli::command(), &mut commands);
    assert!(commands.len() >= 11);
    for mut command in commands {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:\n  "), "{help}");
        let examples = &help[help.find("Examples:").unwrap_or_default()..];
        assert!(examples.lines().all(|line| line.len() <= 90), "{examples}");
    }
}

fn leaves(command: clap::Command, found: &mut Vec<clap::Command>) {
    if !command.has_subcommands() {
        found.push(command);
        return;
    }
    for below in command.get_subcommands() {
        leaves(below.clone(), found);
    }
}

#[test]
fn an_upload_without_options_is_safe_and_untuned() {
    let request = upload("film.mov photos files.example.org:in/").unwrap();
    assert_eq!(request.server.user.as_deref(), Some("ada"));
    assert_eq!(request.server.port, Some(33001));
    assert_eq!(
        request.work,
        Work::Upload {
            sources: ["film.mov", "photos"]
                .map(|path| LocalSource::Path(path.into()))
                .to_vec(),
            destination: b"in/".to_vec(),
        }
    );
    let expected = TransferOptions {
        sessions: Sessions::Auto,
        ..TransferOptions::default()
    };
    assert_eq!(request.options, expected);
    assert_eq!(request.options.target_rate, None);
    assert_eq!(request.options.resume, ResumePolicy::Attributes);
    assert_eq!(
        request.carrier,
        Carrier::BuiltIn {
            identities: Vec::new(),
            known_hosts: None,
            new_host_keys: NewHostKeys::Ask,
        }
    );
}

#[test]
fn options_have_the_meaning_and_units_of_ascp() {
    let line = "-l 300m -m 5000 --policy high --overwrite diff+older -k3 -p --symbolic-links copy+force \
               -c aes256 -d -Z 1400 --sessions 3 --split-threshold 1G -i k1 -i k2 -P 22001 --accept-new-host-key \
                --known-hosts known a lea@host:/b";
    let request = upload(line).unwrap();
    let options = &request.options;
    assert_eq!(options.target_rate, Some(Rate::from_mbps(300)));
    assert_eq!(options.min_rate, Rate::from_mbps(5));
    assert_eq!(options.policy, Some(RatePolicy::High));
    assert_eq!(options.overwrite, OverwritePolicy::DiffOlder);
    assert_eq!(options.resume, ResumePolicy::FullChecksum);
    assert_eq!(options.symlinks, SymlinkPolicy::CopyForce);
    assert_eq!(options.ciphers, [DatagramCipher::Aes256Gcm]);
    assert!(options.preserve.mode && options.preserve.times && options.create_dir);
    assert_eq!(options.datagram_max, Some(1400));
    assert_eq!(options.sessions, Sessions::Exactly(3));
    assert_eq!(options.split_threshold, 1 << 30);
    assert_eq!(request.server.user.as_deref(), Some("lea"));
    assert_eq!(request.server.port, Some(22001));
    assert_eq!(
        request.carrier,
        Carrier::BuiltIn {
            identities: vec!["k1".into(), "k2".into()],
            known_hosts: Some("known".into()),
            new_host_keys: NewHostKeys::Accept,
        }
    );
}

#[test]
fn the_ssh_program_decides_user_and_port_itself() {
    let request = upload("--ssh-arg=-vv -i key a cluster:b").unwrap();
    assert_eq!((request.server.user, request.server.port), (None, None));
    let Carrier::SystemSsh { arguments } = request.carrier else {
        panic!("--ssh-arg implies --ssh");
    };
    assert_eq!(arguments, ["-vv", "-i", "key"]);
    let (message, _) = refused(upload("--ssh --accept-new-host-key a cluster:b"));
    assert!(message.contains("ssh program"), "{message}");
}

#[test]
fn a_download_takes_several_sources_of_one_server() {
    let request = download("lea@h:a lea@h:b/c .").unwrap();
    assert_eq!(
        request.work,
        Work::Download {
            sources: vec![b"a".to_vec(), b"b/c".to_vec()],
            destination: PathBuf::from(".").into(),
        }
    );
    for line in ["lea@h:a ben@h:b .", "lea@h:a lea@i:b ."] {
        let (message, _) = refused(download(line));
        assert!(message.contains("different servers"), "{message}");
    }
}

#[test]
fn a_transfer_needs_a_source_or_a_list_of_them() {
    let (message, _) = refused(upload("only-one"));
    assert!(message.contains("a source and a destination"), "{message}");
    refused(upload("h:a"));
    refused(download("h:a"));
    let request = upload("--file-list names h:a").unwrap();
    assert!(request.options.files.is_list);
    refused(upload("--file-list names a h:a"));
    let request = download("--file-pair-list - h:a .").unwrap();
    assert!(request.list.unwrap().has_pairs);
    refused(download("--file-list names h:a h:b ."));
}

#[test]
fn filters_keep_the_order_of_the_command_line() {
    let request = upload("-E a -N b --exclude=c --include d -E -e x h:y").unwrap();
    let rules: Vec<_> = (request.options.files.filter.rules().iter())
        .map(|rule| {
            (
                rule.action == FilterAction::Include,
                rule.pattern.as_bytes(),
            )
        })
        .collect();
    let (include, exclude) = (true, false);
    let expected = [
        (exclude, &b"a"[..]),
        (include, b"b"),
        (exclude, b"c"),
        (include, b"d"),
        (exclude, b"-e"),
    ];
    assert_eq!(rules, expected);
    assert!(upload("--exclude-newer-than -86400 x h:y").is_ok());
    assert!(parse::<UploadArgs>("-E [ab x h:y").is_err());
    assert!(parse::<UploadArgs>("--exclude-older-than soon x h:y").is_err());
}

#[test]
fn a_listing_needs_a_server() {
    assert_eq!(ls("lea@host:in").unwrap().path, b"in");
    assert!(ls("in").is_err());
}

#[test]
fn mixed_up_locations_are_explained() {
    for (result, part) in [
        (upload("a b"), "is on this machine"),
        (upload("h:a h:b"), "is on another machine"),
        (download("h:a h:b"), "is on another machine"),
        (download("a b"), "is on this machine"),
        (upload("a :b"), "host name"),
        (upload("-P 1 a fasp://h:2/b"), "two ports"),
    ] {
        let (message, _) = refused(result);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn rates_that_contradict_each_other_are_refused() {
    let (message, _) = refused(upload("-l 10m -m 20m a h:b"));
    assert!(message.contains("minimum rate 20.0 Mbit/s"), "{message}");
    let (_, hint) = refused(upload("--policy fixed a h:b"));
    assert!(hint.contains("-l 100m"), "{hint}");
    let (message, _) = refused(upload("-Z 300 a h:b"));
    assert!(message.contains("300 bytes"), "{message}");
}

#[test]
fn synthetic_files_are_sources_and_a_sink_is_a_destination() {
    let request = upload("faux:///x?10g h:faux://").unwrap();
    let Work::Upload {
        sources,
        destination,
    } = request.work
    else {
        panic!("an upload");
    };
    let file = FauxSource::File {
        name: "x".into(),
        size: 10 << 30,
    };
    assert_eq!(sources, [LocalSource::Faux(file)]);
    assert_eq!(destination, b"faux://");
    let request = download("h:a faux://").unwrap();
    assert!(matches!(
        request.work,
        Work::Download {
            destination: LocalDestination::Sink,
            ..
        }
    ));
    for line in ["faux:// h:a", "faux:///x h:a", "faux:///x?1g faux://"] {
        refused(upload(line));
    }
    refused(download("h:a faux:///x?1g"));
}

#[test]
fn without_a_user_anywhere_one_is_asked_for() {
    let args = parse("a host:b").unwrap();
    let (_, hint) = refused(resolve::upload(args, empty_environment));
    assert!(hint.contains("USER@HOST:PATH"), "{hint}");
}

#[test]
fn w32_values_out_of_range_do_not_parse() {
    for line in [
        "-l 0 a h:b",
        "-l -5m a h:b",
        "-l 2000g a h:b",
        "-k 4 a h:b",
        "-P 0 a h:b",
        "-P 70000 a h:b",
        "--policy turbo a h:b",
        "--overwrite maybe a h:b",
        "-c rot13 a h:b",
    ] {
        let error = parse::<UploadArgs>(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    let error = parse::<UploadArgs>("--overwrite maybe a h:b").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("never, always, diff, diff+older or older"),
        "{error}"
    );
}

#[test]
fn a_server_listens_where_asked_and_keeps_its_files_in_the_usual_place() {
    let args = parse::<ServerStartArgs>("--listen 192.0.2.7:5000 --state /s --json-log --log-file");
    let settings = resolve::server_settings(&args.unwrap(), empty_environment).unwrap();
    assert_eq!(settings.listen.port(), 5000);
    assert_eq!(settings.state, PathBuf::from("/s"));
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.log_destination, LogDestination::File);
    let defaults = parse::<ServerStartArgs>("").unwrap();
    assert_eq!(defaults.listen.port(), 33001);
    let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/lea"));
    let usual = resolve::state_path(&StateArgs::default(), home).unwrap();
    assert!(
        usual.as_os_str() == "/home/lea/.local/state/connect-server"
            || usual.as_os_str() == "/var/lib/connect-server",
        "{usual:?}"
    );
}

#[test]
fn doctor_takes_a_host_alone_and_with_port_or_path() {
    let doctor = |line: &str| {
        let args = parse::<DoctorArgs>(line).unwrap();
        let Listing { server, path, .. } = resolve::doctor(args, environment).unwrap();
        let path = String::from_utf8(path).unwrap();
        (server.host.to_string(), server.port, path)
    };
    let expected = |host: &str, port, path: &str| (host.to_owned(), Some(port), path.to_owned());
    for (line, host, port, path) in [
        ("h", "h", 33001, ""),
        ("lea@h", "h", 33001, ""),
        ("h:1234", "h", 1234, ""),
        ("h:1234:", "h", 1234, ""),
        ("h:", "h", 33001, ""),
        ("h:dir", "h", 33001, "dir"),
        ("h:1234:dir", "h", 1234, "dir"),
        ("127.0.0.1:1234", "127.0.0.1", 1234, ""),
        ("[::1]", "::1", 33001, ""),
        ("lea@[::1]:1234", "::1", 1234, ""),
    ] {
        assert_eq!(doctor(line), expected(host, port, path), "{line}");
    }
}
