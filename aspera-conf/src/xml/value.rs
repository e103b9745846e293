//! The text of an element, with references resolved and comments left out.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use super::fault::Fault;
use super::tree::{ElementId, Tree, is_character};

impl Tree {
    /// Returns the text directly in an element without the white space around it.
    pub(crate) fn value(&self, id: ElementId) -> Cow<'_, str> {
        let content = &self.text[self.content(id)];
        if !content.contains(['&', '<']) {
            return Cow::Borrowed(content.trim());
        }
        let mut value = String::new();
        let mut depth = 0_usize;
        // Each event was fine when the document was read, so errors do not come up.
        let mut reader = Reader::from_str(content);
        while let Ok(event) = reader.read_event() {
            match event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth = depth.saturating_sub(1),
                Event::Eof => break,
                _ if depth > 0 => {}
                Event::Text(text) => value.push_str(&String::from_utf8_lossy(&text)),
                Event::CData(text) => value.push_str(&String::from_utf8_lossy(&text)),
                Event::GeneralRef(name) => {
                    value.extend(resolve(&String::from_utf8_lossy(&name)));
                }
                _ => {}
            }
        }
        Cow::Owned(value.trim().to_owned())
    }

    /// Returns true if visible text stands directly in an element that also has elements.
    pub(crate) fn has_text(&self, id: ElementId) -> bool {
        !self.value(id).is_empty()
    }

    /// Returns true if a comment stands anywhere in the element.
    pub(crate) fn has_comment(&self, id: ElementId) -> bool {
        self.text[self.content(id)].contains("<!--")
    }
}

/// Resolves the name between `&` and `;`: the five of XML, and numbers of allowed characters.
pub(super) fn resolve(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return resolve_xml_entity(name).and_then(|text| text.chars().next());
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // A sign would be read as part of the number.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|c| is_character(*c))
}

/// Resolves the references in the value of an attribute.
pub(super) fn unescape(raw: &str) -> Result<String, Fault> {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        value.push_str(&rest[..at]);
        let reference = &rest[at + 1..];
        let entity = |name: &str| Fault::Entity(name.chars().take(40).collect());
        let end = reference.find(';').ok_or_else(|| entity(reference))?;
        let name = &reference[..end];
        value.push(resolve(name).ok_or_else(|| entity(name))?);
        rest = &reference[end + 1..];
    }
    value.push_str(rest);
    Ok(value)
}
