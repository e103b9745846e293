//! Changes of the text: each touches its own bytes only, and the tree is read again from the result.

use std::ops::Range;

use super::fault::{Fault, Position};
use super::tree::{ElementId, Tree, is_space};

/// Returns text as it stands between tags.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::partial_escape(text).into_owned()
}

/// Puts markup in the place of the text between comments, which stay.
fn replace_text(old: &str, markup: &str) -> String {
    let mut new = String::with_capacity(old.len() + markup.len());
    let mut markup = Some(markup);
    let mut put = |new: &mut String, text: &str| {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            new.push_str(text);
            return;
        }
        let front = text.len() - text.trim_start().len();
        new.push_str(&text[..front]);
        new.push_str(markup.take().unwrap_or_default());
        new.push_str(&text[front + trimmed.len()..]);
    };
    let mut rest = old;
    while let Some(start) = rest.find("<!--") {
        // A comment that was read has its end.
        let end = rest[start..]
            .find("-->")
            .map_or(rest.len(), |at| start + at + 3);
        put(&mut new, &rest[..start]);
        new.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    put(&mut new, rest);
    match markup {
        // There was no text: white space alone is not worth keeping.
        Some(markup) => format!("{markup}{}", new.trim()),
        None => new,
    }
}

impl Tree {
    fn splice(&mut self, range: Range<usize>, with: &str) -> Result<(), (Position, Fault)> {
        let mut text = String::with_capacity(self.text.len() + with.len());
        text.push_str(&self.text[..range.start]);
        text.push_str(with);
        text.push_str(&self.text[range.end..]);
        *self = Self::parse(text.as_bytes())?;
        Ok(())
    }

    /// Puts markup in the place of an element's content. White space and comments around a plain value stay.
    pub(crate) fn set_content(
        &mut self,
        id: ElementId,
        markup: &str,
    ) -> Result<(), (Position, Fault)> {
        if self.is_self_closing(id) {
            return self.open_up(id, markup);
        }
        let content = self.content(id);
        let old = &self.text[content.clone()];
        let new = if self.has_children(id) || old.contains("<![") {
            markup.to_owned()
        } else {
            replace_text(old, markup)
        };
        self.splice(content, &new)
    }

    /// Adds an element as the last one in another, on a line of its own where the others have theirs, and returns it.
    pub(crate) fn append(
        &mut self,
        parent: ElementId,
        markup: &str,
    ) -> Result<Option<ElementId>, (Position, Fault)> {
        let newline = self.newline();
        let closing = format!("{newline}{}", self.indent_of(parent));
        let line = format!("{newline}{}{markup}", self.indent_in(parent));
        if self.is_self_closing(parent) {
            self.open_up(parent, &format!("{line}{closing}"))?;
        } else {
            let content = self.content(parent);
            let old = &self.text[content.clone()];
            let kept = old.trim_end_matches(is_space);
            let at = content.start + kept.len();
            if old[kept.len()..].contains('\n') {
                self.splice(at..at, &line)?;
            } else if kept.is_empty() {
                self.splice(content, &format!("{line}{closing}"))?;
            } else {
                self.splice(at..at, markup)?;
            }
        }
        // Elements are numbered as they begin, so the parent still has its number.
        Ok(self.children(parent).last())
    }

    /// Removes an element, and its line if nothing else stands there.
    pub(crate) fn remove(&mut self, id: ElementId) -> Result<(), (Position, Fault)> {
        let element = self.element(id);
        let (start, end) = (element.start as usize, element.end as usize);
        let before = &self.text[..start];
        let line = before.trim_end_matches([' ', '\t']);
        let is_alone = self.text[end..]
            .trim_start_matches([' ', '\t'])
            .starts_with(['\n', '\r']);
        let from = match line.strip_suffix('\n') {
            Some(line) if is_alone => line.strip_suffix('\r').unwrap_or(line).len(),
            _ => start,
        };
        self.splice(from..end, "")
    }

    fn is_self_closing(&self, id: ElementId) -> bool {
        let element = self.element(id);
        element.content == element.end
    }

    /// Turns `<a/>` into `<a>markup</a>`.
    fn open_up(&mut self, id: ElementId, markup: &str) -> Result<(), (Position, Fault)> {
        let element = self.element(id);
        let end = element.end as usize;
        let tag = self.text[element.start as usize..end].trim_end_matches("/>");
        let tag = tag.trim_end_matches(is_space);
        let from = element.start as usize + tag.len();
        let closed = format!(">{markup}</{}>", self.name(id));
        self.splice(from..end, &closed)
    }

    fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") {
            "\r\n"
        } else {
            "\n"
        }
    }

    /// The white space before an element that begins its line; nothing if something else stands before it.
    fn indent_of(&self, id: ElementId) -> &str {
        let before = &self.text[..self.element(id).start as usize];
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let indent = &before[line..];
        if indent.chars().all(|c| matches!(c, ' ' | '\t')) {
            indent
        } else {
            ""
        }
    }

    fn begins_line(&self, id: ElementId) -> bool {
        let before = &self.text[..self.element(id).start as usize];
        before.trim_end_matches([' ', '\t']).ends_with('\n')
    }

    /// The white space for a new child: that of the other children, else one step more than the parent's.
    fn indent_in(&self, id: ElementId) -> String {
        let sibling = self.children(id).filter(|child| self.begins_line(*child));
        match sibling.last() {
            Some(child) => self.indent_of(child).to_owned(),
            None => format!("{}{}", self.indent_of(id), self.indent_step()),
        }
    }

    /// What the document indents a child by, as its first indented element shows.
    fn indent_step(&self) -> &str {
        self.elements
            .iter()
            .enumerate()
            .filter_map(|(number, element)| Some((self.id(number), element.parent?)))
            .filter(|(id, parent)| self.begins_line(*id) && self.begins_line(*parent))
            .find_map(|(id, parent)| {
                let step = self.indent_of(id).strip_prefix(self.indent_of(parent))?;
                (!step.is_empty()).then_some(step)
            })
            .unwrap_or("  ")
    }
}
