//! What a transfer sends: files and directories that are named, and those that a list names.

use std::{io::Read as _, path::Path};

use fasp_net::{
    control::{MAX_SOURCE_BYTES, MAX_SOURCES},
    engine::{ParseListError, Source, SourceList, Sources},
    event::ShownText,
    transfer::Job,
};
use transfer_spec::FileRules;

use super::standard::Spool;
use crate::{
    error::CommandError,
    resolve::{Growing, ListFile, LocalSource, Work},
};

/// Longest list, bytes: some millions of names.
const MAX_LIST: u64 = 256 << 20;

/// Reads lists, and looks whether the sources that are here are there.
pub(super) fn job(
    work: Work,
    list: Option<ListFile>,
    rules: &mut FileRules,
) -> Result<(Job, Option<Spool>), CommandError> {
    let mut spool = None;
    if let Work::Upload { sources, .. } = &work
        && let [LocalSource::StandardInput(size)] = sources[..]
    {
        spool = Some(Spool::read(size)?);
    }
    let list = list.map(|list| read(&list, rules)).transpose()?;
    let job = match work {
        Work::Upload {
            sources,
            destination,
        } => Job::Upload {
            sources: match list {
                Some(list) => Sources::new(vec![Source::List(list.into())])?,
                None => local(sources, spool.as_ref(), rules)?,
            },
            destination,
        },
        Work::Download {
            sources,
            destination,
        } => Job::Download {
            sources: match list {
                Some(list) => remote(&list, &sources, rules)?,
                None => sources,
            },
            destination,
        },
    };
    Ok((job, spool))
}

fn local(
    sources: Vec<LocalSource>,
    spool: Option<&Spool>,
    rules: &FileRules,
) -> Result<Sources, fasp_net::Error> {
    let base = rules.source_base.as_deref();
    let items = sources.into_iter().map(|source| match source {
        LocalSource::Path(path) => Source::local_with_base(&path, base),
        LocalSource::Growing(Growing { path, growth }) => Source::growing(&path, base, growth),
        LocalSource::Faux(faux) => Ok(Source::Faux(faux)),
        LocalSource::StandardInput(_) => spool.map_or(Err(fasp_net::Error::Nothing), Spool::source),
    });
    Sources::new(items.collect::<Result<_, _>>()?)
}

fn read(list: &ListFile, rules: &FileRules) -> Result<SourceList, CommandError> {
    let text = if list.path == Path::new("-") {
        standard_input()?
    } else {
        docroot::read_operator_file(&list.path, MAX_LIST).map_err(|source| CommandError::File {
            path: ShownText::from(&*list.path.to_string_lossy()).to_string(),
            source,
        })?
    };
    match list.has_pairs {
        true => SourceList::pairs(text),
        false => SourceList::sources(text, rules.source_base.clone()),
    }
    .map_err(|error: ParseListError| {
        CommandError::arguments(
            format!("'{}': {error}", list.path.display()),
            "write one path a line; with --file-pair-list, each source followed by its name there",
        )
    })
}

fn standard_input() -> Result<Vec<u8>, CommandError> {
    let mut text = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_LIST + 1)
        .read_to_end(&mut text);
    match read {
        Ok(length) if length as u64 > MAX_LIST => Err(CommandError::arguments(
            "the list is longer than 256 MiB",
            "split it into several lists",
        )),
        Ok(_) => Ok(text),
        Err(source) => Err(CommandError::Input {
            what: "the list from standard input",
            source,
        }),
    }
}

/// The sources of a download, below the one that was named.
fn remote(
    list: &SourceList,
    above: &[Vec<u8>],
    rules: &mut FileRules,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let above = above.first().map(Vec::as_slice).unwrap_or_default();
    let below = |source: &[u8]| {
        if above.is_empty() {
            return source.to_vec();
        }
        // What the list names lies below the source, whatever it begins with.
        let start = source.iter().position(|b| *b != b'/');
        let rest = &source[start.unwrap_or(source.len())..];
        match above.ends_with(b"/") {
            true => [above, rest].concat(),
            false => [above, b"/", rest].concat(),
        }
    };
    let mut sources = Vec::new();
    let mut bytes = 0;
    for entry in list.entries() {
        let source = below(entry.source);
        bytes += source.len() + entry.name.map_or(0, <[u8]>::len);
        if sources.len() == MAX_SOURCES || bytes > MAX_SOURCE_BYTES {
            return Err(CommandError::arguments(
                format!(
                    "the list names more than a download can ask for: {MAX_SOURCES} sources, or 16 MiB"
                ),
                "split it, or download a directory with --include and --exclude",
            ));
        }
        rules.names.extend(entry.name.map(<[u8]>::to_vec));
        sources.push(source);
    }
    if let Some(base) = &mut rules.source_base {
        *base = below(base);
    }
    Ok(sources)
}
