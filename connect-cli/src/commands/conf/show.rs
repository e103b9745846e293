//! `conf show`

use aspera_conf::{
    resolve::{Clamp, Origin, Person, Resolver, Setting},
    schema::{self, Section},
};
use serde::Serialize;

use super::say;
use crate::{
    args::ConfShowArgs,
    error::CommandError,
    resolve::{self, ConfFile},
    ui::{Ui, table},
};

/// What `conf show --json` prints for an option.
#[derive(Debug, Serialize)]
struct SettingLine {
    option: &'static str,
    value: Option<String>,
    unit: Option<&'static str>,
    origin: String,
    line: Option<u32>,
    column: Option<u32>,
    limited_by: Option<&'static str>,
    limit_origin: Option<String>,
    asked: Option<String>,
}

pub(super) fn run(ui: &Ui, file: &ConfFile, args: &ConfShowArgs) -> Result<(), CommandError> {
    let conf = resolve::read_conf(file)?;
    let groups: Vec<&str> = args.member_of.iter().map(String::as_str).collect();
    let resolver = Resolver::new(
        &conf,
        Person {
            name: args.user.as_deref().unwrap_or_default(),
            home: args.home.as_deref(),
            groups: &groups,
            peer: None,
        },
    );
    let names: Vec<&str> = match &args.options[..] {
        [] => schema::options()
            .iter()
            .filter(|spec| spec.section == Section::Default)
            .map(|spec| spec.name)
            .collect(),
        options => options.iter().map(String::as_str).collect(),
    };
    // About nobody in particular, $(name) is shown as it stands.
    let settings = names.into_iter().map(|name| match args.user {
        Some(_) => resolver.option(name),
        None => resolver.template(name),
    });
    let settings = settings.collect::<Result<Vec<_>, _>>()?;
    let is_wanted =
        |s: &Setting| args.all || !args.options.is_empty() || s.origin != Origin::BuiltIn;
    let settings: Vec<_> = settings.into_iter().filter(is_wanted).collect();
    if ui.is_json() {
        return settings.iter().try_for_each(|s| ui.print_json(&line(s)));
    }
    if args.origin {
        let mut rows = vec![["OPTION", "VALUE", "FROM", "LIMITED BY"].map(str::to_owned)];
        rows.extend(settings.iter().map(row));
        return ui.print_data(table(&rows).as_bytes());
    }
    let lines = settings.iter();
    let lines = lines.map(|s| format!("{}: \"{}\"\n", s.spec.name, say(&s.shown())));
    ui.print_data(lines.collect::<String>().as_bytes())
}

fn row(setting: &Setting) -> [String; 4] {
    let from = match setting.position {
        Some(position) => format!("{}, line {}", setting.origin, position.line),
        None => setting.origin.to_string(),
    };
    let limit = setting.clamp.as_ref();
    let limit =
        limit.map(|Clamp { by, origin, from }| format!("{} of {origin}; was {from}", by.name));
    [
        setting.spec.name.to_owned(),
        say(&setting.shown()),
        say(&from),
        limit.map(|limit| say(&limit)).unwrap_or_default(),
    ]
}

fn line(setting: &Setting) -> SettingLine {
    let clamp = setting.clamp.as_ref();
    SettingLine {
        option: setting.spec.name,
        value: setting.value.is_some().then(|| setting.shown()),
        unit: Some(setting.spec.unit).filter(|unit| !unit.is_empty()),
        origin: setting.origin.to_string(),
        line: setting.position.map(|position| position.line),
        column: setting.position.map(|position| position.column),
        limited_by: clamp.map(|clamp| clamp.by.name),
        limit_origin: clamp.map(|clamp| clamp.origin.to_string()),
        asked: clamp.map(|clamp| clamp.from.to_string()),
    }
}
