//! Carrying out expressions: everything is checked first, then everything is done.

use crate::command::{Assignment, Command, Verb};
use crate::conf::{Conf, NOT_SET, Record, SETS, Stated, first_set};
use crate::error::{Error, Result};
use crate::resolve::find;
use crate::schema::{Kind, OptionSpec, Section, Value};
use crate::xml::{ElementId, Tree, escape};

/// A line of a report: what a record says about an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The option's name.
    pub name: &'static str,
    /// What stands there; none if the record is silent. Secrets are kept back.
    pub value: Option<String>,
    /// The built-in value; empty for none.
    pub builtin: &'static str,
}

/// Selects the docroot that the assignments behind it are about.
const MASK: &str = "docroot_mask";

impl Conf {
    /// Carries out an expression that sets or deletes. Returns true if the text changed.
    ///
    /// Either everything that was asked for is done, or nothing.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], [`Error::BadValue`], [`Error::NoRecord`], [`Error::Expression`] for one that gets, and
    /// [`Error::Document`] when the result would pass a limit.
    pub fn apply(&mut self, command: &Command) -> Result<bool> {
        let mut changed = self.clone();
        match command.verb {
            Verb::Set => changed.set_all(&command.record, &command.assignments)?,
            Verb::Delete => changed.delete(&command.record)?,
            Verb::Get => {
                return Err(Error::Expression {
                    expression: "get".to_owned(),
                    reason: "this changes nothing".to_owned(),
                    hint: "use Conf::report",
                });
            }
        }
        let is_changed = changed.text() != self.text();
        *self = changed;
        Ok(is_changed)
    }

    /// Returns what a record says: about one option, or about all that it mentions.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], [`Error::NoRecord`].
    pub fn report(&self, record: &Record, option: Option<&str>) -> Result<Vec<Line>> {
        let is_named = !matches!(record, Record::Node | Record::Section(_));
        if is_named && !self.has(record) {
            return Err(Error::NoRecord(record.to_string()));
        }
        let line = |spec: &'static OptionSpec| {
            let stated = self.stated(record, spec);
            Line {
                name: spec.name,
                value: stated.map(|stated| spec.shown(&stated.to_string())),
                builtin: spec.builtin,
            }
        };
        if let Some(name) = option {
            return Ok(vec![line(find(record.section(), name)?)]);
        }
        let specs = crate::schema::options().iter();
        let specs = specs.filter(|spec| spec.section == record.section());
        Ok(specs
            .map(line)
            .filter(|line| line.value.is_some())
            .collect())
    }

    fn set_all(&mut self, record: &Record, assignments: &[Assignment]) -> Result<()> {
        let mut mask = None;
        let mut edits = Vec::with_capacity(assignments.len());
        for assignment in assignments {
            if assignment.name == MASK && record.section() == Section::Default {
                mask = Some(assignment.value.as_str());
            } else {
                edits.push((mask, edit_of(record, assignment)?));
            }
        }
        let is_reset = |(_, (_, wanted)): &(_, (_, Option<Stated>))| wanted.is_none();
        if edits.iter().all(is_reset) && !edits.is_empty() && !self.has(record) {
            return Ok(());
        }
        self.make_record(record)?;
        edits
            .into_iter()
            .try_for_each(|(mask, (spec, wanted))| self.set(record, spec, mask, wanted))
    }

    /// Sets or resets one option of a record that is there.
    fn set(
        &mut self,
        record: &Record,
        spec: &'static OptionSpec,
        mask: Option<&str>,
        wanted: Option<Stated>,
    ) -> Result<()> {
        let Some(element) = self.record(record) else {
            // An earlier reset emptied its section.
            return match wanted {
                Some(wanted) => {
                    self.make_record(record)?;
                    self.set(record, spec, mask, Some(wanted))
                }
                None => Ok(()),
            };
        };
        let choice = |tree: &Tree, id| match mask {
            None => first_set(tree, id),
            Some(mask) => tree
                .child(id, "absolute")
                .is_some_and(|child| tree.value(child) == mask),
        };
        let leaf = self.leaf(element, spec, &choice);
        let Some(wanted) = wanted else {
            return self.reset(record, element, spec, &choice);
        };
        if let Some(leaf) = leaf {
            return self.write(leaf, spec, &wanted);
        }
        if let Some(mask) = mask
            && spec.steps().any(|step| SETS.contains(&step))
        {
            let set = self.make_set(element, spec, &choice, mask)?;
            let rest: Vec<_> = spec
                .steps()
                .skip_while(|s| !SETS.contains(s))
                .skip(1)
                .collect();
            let leaf = self.make_path(set, &rest, &choice)?;
            return self.write(leaf, spec, &wanted);
        }
        let steps: Vec<_> = spec.steps().collect();
        let leaf = self.make_path(element, &steps, &choice)?;
        self.write(leaf, spec, &wanted)
    }

    /// Removes every element of an option, and what is empty then.
    fn reset(
        &mut self,
        record: &Record,
        element: ElementId,
        spec: &OptionSpec,
        choice: &dyn Fn(&Tree, ElementId) -> bool,
    ) -> Result<()> {
        // The record begins before what is removed, so it keeps its number.
        while let Some(leaf) = self.leaf(element, spec, choice) {
            self.remove_and_prune(leaf, element)?;
            if self.record(record) != Some(element) {
                // It was empty, and went too.
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, leaf: ElementId, spec: &OptionSpec, wanted: &Stated) -> Result<()> {
        if self.stated_in(leaf, spec).as_ref() == Some(wanted) {
            return Ok(());
        }
        match (wanted, spec.kind) {
            (Stated::Items(items), Kind::List { item }) => {
                if !self.tree().has_children(leaf) {
                    self.tree_mut().set_content(leaf, "")?;
                }
                self.clear_items(leaf, item)?;
                for text in items {
                    let markup = format!("<{item}>{}</{item}>", escape(text));
                    self.tree_mut().append(leaf, &markup)?;
                }
                Ok(())
            }
            (Stated::Empty, Kind::List { .. }) => Ok(self.tree_mut().set_content(leaf, "")?),
            (wanted, _) => {
                let markup = escape(&wanted.to_string());
                Ok(self.tree_mut().set_content(leaf, &markup)?)
            }
        }
    }

    fn clear_items(&mut self, list: ElementId, item: &str) -> Result<()> {
        while let Some(child) = self.tree().child(list, item) {
            self.tree_mut().remove(child)?;
        }
        Ok(())
    }

    /// Creates the record when it is missing, with the element that names it.
    fn make_record(&mut self, record: &Record) -> Result<ElementId> {
        if let Some(id) = self.record(record) {
            return Ok(id);
        }
        let (holder, element, key) = record.place();
        let holder = self.make_path(self.tree().root(), holder, &first_set)?;
        let id = self.add(holder, element)?;
        if let Some(name) = record.key() {
            let markup = format!("<{key}>{}</{key}>", escape(&name));
            self.tree_mut().append(id, &markup)?;
        }
        Ok(id)
    }

    /// Creates a docroot of its own for `mask`, unless there is one.
    fn make_set(
        &mut self,
        record: ElementId,
        spec: &OptionSpec,
        choice: &dyn Fn(&Tree, ElementId) -> bool,
        mask: &str,
    ) -> Result<ElementId> {
        let holder: Vec<_> = spec.steps().take_while(|s| !SETS.contains(s)).collect();
        let holder = self.make_path(record, &holder, choice)?;
        let name = spec.steps().find(|s| SETS.contains(s)).unwrap_or_default();
        let known = self.tree().children_named(holder, name);
        let chosen = known.into_iter().find(|id| choice(self.tree(), *id));
        if let Some(id) = chosen {
            return Ok(id);
        }
        let id = self.add(holder, name)?;
        let markup = format!("<absolute>{}</absolute>", escape(mask));
        self.tree_mut().append(id, &markup)?;
        Ok(id)
    }

    /// Returns the element at a path, and creates what is missing of it.
    fn make_path(
        &mut self,
        from: ElementId,
        steps: &[&str],
        choice: &dyn Fn(&Tree, ElementId) -> bool,
    ) -> Result<ElementId> {
        steps.iter().try_fold(from, |parent, step| {
            let known = self
                .tree()
                .children_named(parent, step)
                .find(|child| !SETS.contains(step) || choice(self.tree(), *child));
            match known {
                Some(child) => Ok(child),
                None => self.add(parent, step),
            }
        })
    }

    fn add(&mut self, parent: ElementId, name: &str) -> Result<ElementId> {
        let added = self
            .tree_mut()
            .append(parent, &format!("<{name}></{name}>"))?;
        // What was just added is the last child.
        Ok(added.unwrap_or(parent))
    }

    fn delete(&mut self, record: &Record) -> Result<()> {
        let Some(first) = self.record(record) else {
            return Err(Error::NoRecord(record.to_string()));
        };
        let mut next = Some(first);
        // A second record of the same name would come to life.
        while let Some(id) = next {
            self.remove_and_prune(id, self.tree().root())?;
            next = self.record(record);
        }
        Ok(())
    }

    /// Removes an element and those around it that are empty then, up to and with `last`, but never a record with a name
    /// or the root.
    fn remove_and_prune(&mut self, id: ElementId, last: ElementId) -> Result<()> {
        let mut id = id;
        loop {
            let parent = self.tree().parent(id);
            self.tree_mut().remove(id)?;
            match parent {
                Some(parent) if id != last && self.is_blank(parent) => id = parent,
                _ => return Ok(()),
            }
        }
    }

    fn is_blank(&self, id: ElementId) -> bool {
        let tree = self.tree();
        // A second section of the same name would come to life.
        let is_only = tree
            .parent(id)
            .is_some_and(|parent| tree.children_named(parent, tree.name(id)).count() == 1);
        id != tree.root()
            && is_only
            && !tree.has_children(id)
            && !tree.has_attributes(id)
            && !tree.has_comment(id)
            && !tree.has_text(id)
    }
}

/// Checks an assignment; no value means a reset.
fn edit_of(
    record: &Record,
    assignment: &Assignment,
) -> Result<(&'static OptionSpec, Option<Stated>)> {
    let spec = find(record.section(), &assignment.name)?;
    if record.key().is_some() && spec.path == record.place().2 {
        return Err(Error::Expression {
            expression: assignment.name.clone(),
            reason: "a record keeps its name".to_owned(),
            hint: "delete it, and make one with the new name",
        });
    }
    let value = assignment.value.trim();
    if value == NOT_SET {
        return Ok((spec, None));
    }
    let bad = |bad| Error::BadValue {
        option: spec.name,
        value: spec.shown(value),
        bad,
    };
    let stated = match spec.kind {
        Kind::List { .. } => {
            let items = list_items(value);
            for item in &items {
                spec.kind.parse(item).map_err(bad)?;
            }
            if items.is_empty() {
                Stated::Empty
            } else {
                Stated::Items(items)
            }
        }
        Kind::Text if value.is_empty() => Stated::Empty,
        kind => match kind.parse(value).map_err(bad)? {
            // The spellings that people mix are written in one way; others stay as they were typed.
            value @ (Value::Bool(_) | Value::Word(_)) => Stated::Text(value.to_string()),
            _ => Stated::Text(value.to_owned()),
        },
    };
    Ok((spec, Some(stated)))
}

/// The first character separates.
fn list_items(value: &str) -> Vec<String> {
    let mut characters = value.chars();
    match characters.next() {
        Some(separator) => characters
            .as_str()
            .split(separator)
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
        None => Vec::new(),
    }
}
