//! Which files a transfer sends, and what becomes of those that are there: options of `upload` and `download`.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _, path::PathBuf};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, builder::TypedValueParser as _,
};
use transfer_spec::FileChecksum;
use transfer_spec::filter::{FilterAction, FilterRule, Pattern};

use super::value::{self, Moment};

const HEADING: &str = "Files";

/// Which files.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct RuleArgs {
    /// What is left out.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Leave out files that changed after TIME: 2026-03-01 or 2026-03-01T14:05, 2d (ago), seconds since 1970, or -SECONDS (ago)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::moment)]
    pub exclude_newer_than: Option<Moment>,
    /// Leave out files that changed before TIME
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::moment)]
    pub exclude_older_than: Option<Moment>,
    /// Take the sources from FILE, one a line; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "file_pair_list")]
    pub file_list: Option<PathBuf>,
    /// Take the sources and their names at the destination from FILE, on lines in turn; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "source_base")]
    pub file_pair_list: Option<PathBuf>,
    /// Keep what is behind DIR of each source's path, instead of its last name
    #[arg(long, alias = "src-base", value_name = "DIR")]
    pub source_base: Option<OsString>,
    /// Leave out pipes, sockets and devices, instead of counting each as failed
    #[arg(long)]
    pub skip_special_files: bool,
    /// Only say what would be transferred and deleted
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Count the sources first, so that the progress has a percentage from the start
    #[arg(long, alias = "precalculate-job-size")]
    pub precalculate: bool,
    /// Tell the checksum of each file that arrived: md5, sha1, sha256, sha384 or sha512
    #[arg(long, alias = "file-checksum", value_name = "KIND", default_value = "none", value_parser = checksum)]
    pub checksum: FileChecksum,
    /// Write what became of each file to aspera-transfer-ID-manifest.txt in DIR
    #[arg(long, value_name = "DIR")]
    pub file_manifest: Option<PathBuf>,
    /// Keep files that are replaced as NAME.yyyy.mm.dd.hh.mm.ss.INDEX.EXTENSION
    #[arg(long)]
    pub save_before_overwrite: bool,
    /// Delete what the destination has and the source directories do not
    #[arg(long, conflicts_with_all = ["exclude_newer_than", "exclude_older_than"])]
    pub delete_before_transfer: bool,
    /// Remove each source file once it has arrived
    #[arg(long)]
    pub remove_after_transfer: bool,
    /// Move each source file below DIR once it has arrived
    #[arg(long, value_name = "DIR", conflicts_with = "remove_after_transfer")]
    pub move_after_transfer: Option<OsString>,
    /// Remove directories below the sources that are empty then
    #[arg(long)]
    pub remove_empty_directories: bool,
    /// Remove the source directories themselves too, if they are empty then
    #[arg(long)]
    pub remove_empty_source_directory: bool,
    /// Treat sources that were skipped, because the destination has them, like those that arrived
    #[arg(long)]
    pub remove_skipped: bool,
}

fn checksum(text: &str) -> Result<FileChecksum, String> {
    let names: Vec<_> = FileChecksum::ALL.iter().map(|v| v.name()).collect();
    value::one_of(text, &names)
}

/// Include and exclude rules in the order in which they were typed, which counts.
#[derive(Debug, Default)]
pub struct FilterArgs {
    /// The rules.
    pub rules: Vec<FilterRule>,
}

const EXCLUDE: &str = "exclude";
const INCLUDE: &str = "include";

/// `clap` keeps the values of each option together; only the positions on the command line tell their order.
impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut rules = Vec::new();
        for (name, action) in [
            (EXCLUDE, FilterAction::Exclude),
            (INCLUDE, FilterAction::Include),
        ] {
            let positions = matches.indices_of(name).into_iter().flatten();
            let patterns = matches.get_many::<Pattern>(name).into_iter().flatten();
            rules.extend(positions.zip(patterns).map(|(position, pattern)| {
                let pattern = pattern.clone();
                (position, FilterRule { action, pattern })
            }));
        }
        rules.sort_by_key(|(position, _)| *position);
        let rules = rules.into_iter().map(|(_, rule)| rule).collect();
        Ok(Self { rules })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let option = |name: &'static str, letter: char, help: &'static str| {
            Arg::new(name)
                .long(name)
                .short(letter)
                .value_name("PATTERN")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .value_parser(clap::builder::OsStringValueParser::new().try_map(pattern))
                .help(help)
                .help_heading(HEADING)
        };
        command
            .arg(option(
                EXCLUDE,
                'E',
                "Leave out what matches; the first rule that matches decides, in the order of the command line",
            ))
            .arg(option(
                INCLUDE,
                'N',
                "Keep what matches, whatever later rules say",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn pattern(text: OsString) -> Result<Pattern, String> {
    Pattern::parse(text.as_bytes()).map_err(|error| error.to_string())
}
