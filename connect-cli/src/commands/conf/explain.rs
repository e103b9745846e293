//! `conf explain`

use std::fmt::Write as _;

use aspera_conf::{
    Error,
    schema::{self, Obeyed, OptionSpec, Section},
};
use serde::Serialize;

use crate::{
    args::ConfExplainArgs,
    error::CommandError,
    ui::{Ui, table},
};

/// What `conf explain --json` prints for an option.
#[derive(Debug, Serialize)]
struct SpecLine {
    option: &'static str,
    section: &'static str,
    path: String,
    allowed: String,
    unit: Option<&'static str>,
    default: Option<&'static str>,
    obeyed: &'static str,
    about: Option<&'static str>,
}

pub(super) fn run(ui: &Ui, args: &ConfExplainArgs) -> Result<(), CommandError> {
    let found = matching(args.option.as_deref())?;
    if ui.is_json() {
        return found.iter().try_for_each(|spec| ui.print_json(&line(spec)));
    }
    let is_exact = found
        .iter()
        .all(|spec| Some(spec.name) == args.option.as_deref());
    if is_exact {
        let text: Vec<String> = found.iter().map(|spec| page(spec)).collect();
        return ui.print_data(text.join("\n").as_bytes());
    }
    let mut rows = vec![["OPTION", "SECTION", "DEFAULT", "OBEYED", "ABOUT"].map(str::to_owned)];
    rows.extend(found.iter().map(|spec| {
        let section = spec.section.name();
        let obeyed = spec.obeyed().name();
        [spec.name, section, spec.builtin, obeyed, spec.about].map(str::to_owned)
    }));
    ui.print_data(table(&rows).as_bytes())
}

/// Options of that name, else those whose name has it as a part; all of them without a name.
fn matching(name: Option<&str>) -> Result<Vec<&'static OptionSpec>, CommandError> {
    let Some(name) = name else {
        return Ok(schema::options().iter().collect());
    };
    let sections = Section::ALL.into_iter();
    let exact: Vec<_> = sections
        .filter_map(|section| schema::find(section, name))
        .collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let full = |spec: &OptionSpec| format!("{}/{}", spec.section.path(), spec.path);
    let options = schema::options().iter();
    let similar: Vec<_> = options
        .filter(|spec| spec.name.contains(name) || full(spec).contains(name))
        .collect();
    if !similar.is_empty() {
        return Ok(similar);
    }
    let names = schema::options().iter().map(|spec| spec.name);
    Err(CommandError::Conf(Error::UnknownOption {
        name: name.to_owned(),
        section: "aspera.conf".to_owned(),
        suggestion: schema::nearest(name, names).map(str::to_owned),
    }))
}

fn line(spec: &OptionSpec) -> SpecLine {
    let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    SpecLine {
        option: spec.name,
        section: spec.section.name(),
        path: format!("{}/{}", spec.section.path(), spec.path),
        allowed: spec.kind.to_string(),
        unit: some(spec.unit),
        default: some(spec.builtin),
        obeyed: spec.obeyed().name(),
        about: some(spec.about),
    }
}

fn page(spec: &OptionSpec) -> String {
    let mut text = format!("{}\n", spec.name);
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:<9} {value}");
        }
    };
    field("about", spec.about);
    let place = format!("{}/{}", spec.section.path(), spec.path);
    field("element", &place);
    field("unit", spec.unit);
    field("allowed", &spec.kind.to_string());
    let default = if spec.builtin.is_empty() {
        "none"
    } else {
        spec.builtin
    };
    field("default", default);
    let (scope, command) = match spec.section {
        Section::Default => (
            "the node, a group or a user; the strongest counts",
            "set_node_data",
        ),
        Section::Trunks => ("each virtual link", "set_trunk_data;id,N"),
        Section::Logging => ("each logging profile", "set_logging_data;classes,NAME"),
        Section::CentralServer => ("the node", "set_central_server_data"),
        Section::HttpServer => ("the node", "set_http_server_data"),
        Section::Database => ("the node", "set_database_data"),
        Section::Server => ("the node", "set_server_data"),
        Section::Client => ("clients", "set_client_data"),
    };
    field("set for", scope);
    field(
        "obeyed",
        &match spec.obeyed() {
            Obeyed::Yes => "yes".to_owned(),
            Obeyed::Partly(missing) => format!("in part: {missing}"),
            Obeyed::No => "no: recognised, checked and kept, without effect here".to_owned(),
        },
    );
    field(
        "example",
        &format!(
            "asconfigurator -x \"{command};{},{}\"",
            spec.name,
            example(spec)
        ),
    );
    text
}

fn example(spec: &OptionSpec) -> &str {
    use schema::Kind;
    match spec.kind {
        Kind::List { .. } => "|FIRST|SECOND",
        _ if spec.builtin.is_empty() => "VALUE",
        _ => spec.builtin,
    }
}
