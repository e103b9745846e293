//! Values that are fine one by one and do not fit together.

use super::{Finding, MAX_FINDINGS, Rule, path_of};
use crate::conf::{Conf, Record};
use crate::error::Error;
use crate::resolve::{Origin, Person, Resolver, Setting};
use crate::schema::{Value, Word};
use crate::xml::ElementId;

/// Has no record, because names in a file have no white space around them, and has what `$(...)` needs.
const NOBODY: Person<'_> = Person {
    name: " ",
    home: Some("/"),
    groups: &[],
    peer: None,
};

pub(super) fn check(conf: &Conf) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut look = |record: Record, element: ElementId, person: Person<'_>, layers| {
        if findings.len() >= MAX_FINDINGS {
            return;
        }
        let resolver = Resolver::over(conf, person, layers);
        let record = View {
            conf,
            resolver,
            record,
            element,
        };
        record.access(&mut findings);
        record.tokens(&mut findings);
        for side in ["in", "out"] {
            record.provider(side, &mut findings);
            record.rates(side, &mut findings);
            record.trunk(side, &mut findings);
        }
        record.logging(&mut findings);
    };
    if let Some(node) = conf.record(&Record::Node) {
        look(Record::Node, node, NOBODY, Vec::new());
    }
    for (name, id) in conf.first_records(&Record::Group(String::new())) {
        let layers = vec![(Origin::Group(name.clone()), id)];
        look(Record::Group(name), id, NOBODY, layers);
    }
    for (name, id) in conf.first_records(&Record::User(String::new())) {
        let person = Person {
            name: &name,
            ..NOBODY
        };
        let layers = vec![(Origin::User, id)];
        look(Record::User(name.clone()), id, person, layers);
    }
    findings
}

/// What counts for a record, looked at for what that record itself adds.
struct View<'a> {
    conf: &'a Conf,
    resolver: Resolver<'a>,
    record: Record,
    element: ElementId,
}

impl View<'_> {
    fn get(&self, name: &str) -> Option<Setting> {
        self.resolver.template(name).ok()
    }

    /// Returns true if the record itself says one of these, so that what follows is its own doing.
    fn is_own(&self, settings: &[&Setting]) -> bool {
        settings
            .iter()
            .any(|setting| match (&self.record, &setting.origin) {
                (Record::User(_), Origin::User) | (Record::Node, Origin::Section(_)) => true,
                (Record::Group(name), Origin::Group(origin)) => name == origin,
                _ => false,
            })
    }

    /// Reports something, at the place of the first of these that stands in the record.
    fn report(
        &self,
        findings: &mut Vec<Finding>,
        rule: Rule,
        settings: &[&Setting],
        message: String,
        suggestion: &str,
    ) {
        let own = settings.iter().find(|setting| self.is_own(&[setting]));
        let place = own.and_then(|setting| {
            let id = self
                .conf
                .leaf(self.element, setting.spec, &crate::conf::first_set)?;
            Some((setting.position?, path_of(self.conf.tree(), id)))
        });
        if let Some((position, path)) = place {
            findings.push(Finding {
                rule,
                position,
                path,
                message,
                suggestion: Some(suggestion.to_owned()),
            });
        }
    }

    fn access(&self, findings: &mut Vec<Finding>) {
        if let Err(error @ Error::Variable(_)) = self.resolver.option("absolute") {
            self.bad_docroot(findings, &error);
        }
        let Some(docroot) = self.get("absolute") else {
            return;
        };
        let Some(restriction) = self.get("file_restriction") else {
            return;
        };
        let says = |setting: &Setting| match &setting.value {
            Some(Value::Text(text)) => !text.is_empty(),
            Some(Value::List(items)) => !items.is_empty(),
            _ => false,
        };
        if says(&docroot) && says(&restriction) {
            let text = format!("{} has both a docroot and file restrictions", self.record);
            let advice = "remove one; an empty <absolute> takes an inherited docroot away";
            let both = [&restriction, &docroot];
            self.report(findings, Rule::Contradiction, &both, text, advice);
        }
    }

    /// A docroot with a variable that is not known.
    fn bad_docroot(&self, findings: &mut Vec<Finding>, why: &Error) {
        let docroot = self.get("absolute");
        if let Some(docroot) = docroot {
            let text = format!("the docroot cannot be used: {why}");
            let advice = "$(name) and $(home) are known";
            self.report(findings, Rule::BadValue, &[&docroot], text, advice);
        }
    }

    fn tokens(&self, findings: &mut Vec<Finding>) {
        let names = [
            "token_encryption_key",
            "token_encryption_keyfile",
            "token_dynamic_key",
        ];
        let keys: Vec<_> = names.iter().filter_map(|name| self.get(name)).collect();
        let has_key = keys.iter().any(|key| match &key.value {
            Some(Value::Text(text)) => !text.is_empty(),
            Some(Value::Bool(is_on)) => *is_on,
            _ => false,
        });
        if has_key {
            return;
        }
        for side in ["in", "out"] {
            let name = format!("authorization_transfer_{side}_value");
            let Some(setting) = self.get(&name) else {
                continue;
            };
            if setting.value == Some(Value::Choice("token")) {
                let text = format!("'{name}' asks for tokens, and there is no key to check them");
                let advice =
                    "set token_encryption_key, token_encryption_keyfile or token_dynamic_key";
                let all: Vec<_> = [&setting].into_iter().chain(&keys).collect();
                self.report(findings, Rule::Contradiction, &all, text, advice);
            }
        }
    }

    fn provider(&self, side: &str, findings: &mut Vec<Finding>) {
        let get = |part| {
            self.get(&format!(
                "authorization_transfer_{side}_external_provider_{part}"
            ))
        };
        let (Some(url), Some(action)) = (get("url"), get("soap_action")) else {
            return;
        };
        let is_set = |setting: &Setting| matches!(&setting.value, Some(Value::Text(text)) if !text.is_empty());
        if is_set(&url) != is_set(&action) {
            let text = "an external provider needs both its URL and its SOAP action".to_owned();
            let advice = "set both, or none";
            self.report(
                findings,
                Rule::Contradiction,
                &[&url, &action],
                text,
                advice,
            );
        }
    }

    fn rates(&self, side: &str, findings: &mut Vec<Finding>) {
        let get = |part| self.get(&format!("transfer_{side}_bandwidth_flow_{part}_cap"));
        let (Some(low), Some(high)) = (get("min_rate"), get("target_rate")) else {
            return;
        };
        let bound = |setting: &Setting| match setting.value {
            Some(Value::Unsigned(rate)) => Some(rate),
            Some(Value::Word(Word::Unlimited)) => Some(u64::MAX),
            _ => None,
        };
        let is_odd = matches!((bound(&low), bound(&high)), (Some(low), Some(high)) if low > high);
        if is_odd && high.origin != Origin::BuiltIn {
            let text = "the highest minimum rate is above the highest target rate".to_owned();
            let advice = "lower the cap of min_rate";
            self.report(findings, Rule::Odd, &[&low, &high], text, advice);
        }
    }

    fn trunk(&self, side: &str, findings: &mut Vec<Finding>) {
        let name = format!("transfer_{side}_bandwidth_aggregate_trunk_id");
        let Some(setting) = self.get(&name) else {
            return;
        };
        let Some(Value::Unsigned(id)) = setting.value else {
            return;
        };
        let Some(id) = u8::try_from(id).ok().filter(|id| *id > 0) else {
            return;
        };
        let record = Record::Trunk(id);
        let is_on = crate::resolve::lookup(self.conf, &record, "trunk_on");
        let is_on = is_on.is_ok_and(|on| on.value == Some(Value::Bool(true)));
        let why = match (self.conf.has(&record), is_on) {
            (true, true) => return,
            (true, false) => "is off",
            (false, _) => "is not there",
        };
        let text = format!("virtual link {id} {why}, so nothing is shared");
        let advice = "set_trunk_data;id,N;trunk_on,true;trunk_capacity,KBPS";
        self.report(findings, Rule::Dangling, &[&setting], text, advice);
    }

    fn logging(&self, findings: &mut Vec<Finding>) {
        let Some(setting) = self.get("logging_class") else {
            return;
        };
        let Some(Value::Text(class)) = setting.value.clone() else {
            return;
        };
        if !class.is_empty() && !self.conf.has(&Record::Logging(class.clone())) {
            let text = format!("there is no logging profile '{class}'");
            let advice = "add a <log_setting> with these <classes> to <logging>";
            self.report(findings, Rule::Dangling, &[&setting], text, advice);
        }
    }
}
