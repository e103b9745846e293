//! Where the elements of a document lie in its text.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::errors::{Error as XmlError, IllFormedError};
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::fault::{Fault, Position};
use super::{MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, MAX_TAG};

const BOM: &str = "\u{feff}";

/// An element of one [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ElementId(u32);

/// Offsets into the text; a document is far smaller than 4 GiB.
#[derive(Debug, Clone)]
pub(super) struct Element {
    /// Where the start tag begins.
    pub(super) start: u32,
    /// The length of the name, which stands right behind the `<`.
    pub(super) name_len: u32,
    /// Behind the start tag.
    pub(super) content: u32,
    /// Where the end tag begins; the same as `end` when there is none.
    pub(super) content_end: u32,
    /// Behind the end tag, or behind `/>`.
    pub(super) end: u32,
    pub(super) parent: Option<ElementId>,
    first_child: Option<ElementId>,
    last_child: Option<ElementId>,
    next: Option<ElementId>,
}

/// A well-formed document within the limits, with its text.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(super) text: String,
    pub(super) elements: Vec<Element>,
}

type Result<T, E = (usize, Fault)> = std::result::Result<T, E>;

impl Tree {
    /// Reads a document. Entities are not resolved, nothing is fetched, and no limit is passed.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, (Position, Fault)> {
        let place = |(offset, fault)| (Position::of(bytes, offset), fault);
        if bytes.len() > MAX_BYTES {
            return Err(place((0, Fault::TooLarge)));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| place((error.valid_up_to(), Fault::NotUtf8)))?;
        check_characters(text).map_err(place)?;
        let elements = Builder::default().build(text).map_err(place)?;
        Ok(Self {
            text: text.to_owned(),
            elements,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) const fn root(&self) -> ElementId {
        ElementId(0)
    }

    pub(super) fn id(&self, number: usize) -> ElementId {
        ElementId(small(number))
    }

    pub(super) fn element(&self, id: ElementId) -> &Element {
        &self.elements[id.0 as usize]
    }

    pub(crate) fn name(&self, id: ElementId) -> &str {
        let element = self.element(id);
        let from = element.start as usize + 1;
        &self.text[from..from + element.name_len as usize]
    }

    /// The children that are elements, in their order.
    pub(crate) fn children(&self, id: ElementId) -> impl Iterator<Item = ElementId> {
        let first = self.element(id).first_child;
        std::iter::successors(first, |id| self.element(*id).next)
    }

    pub(crate) fn children_named<'a>(
        &'a self,
        id: ElementId,
        name: &'a str,
    ) -> impl Iterator<Item = ElementId> + 'a {
        self.children(id)
            .filter(move |child| self.name(*child) == name)
    }

    pub(crate) fn child(&self, id: ElementId, name: &str) -> Option<ElementId> {
        self.children(id).find(|child| self.name(*child) == name)
    }

    pub(crate) fn has_children(&self, id: ElementId) -> bool {
        self.element(id).first_child.is_some()
    }

    pub(crate) fn parent(&self, id: ElementId) -> Option<ElementId> {
        self.element(id).parent
    }

    /// Where the element begins.
    pub(crate) fn position(&self, id: ElementId) -> Position {
        Position::of(self.text.as_bytes(), self.element(id).start as usize)
    }

    /// Where the value of the element begins: its first character that is no white space.
    pub(crate) fn value_position(&self, id: ElementId) -> Position {
        let element = self.element(id);
        let content = &self.text[self.content(id)];
        let blank = content.len() - content.trim_start().len();
        let at = if blank == content.len() {
            element.content as usize
        } else {
            element.content as usize + blank
        };
        Position::of(self.text.as_bytes(), at)
    }

    pub(super) fn content(&self, id: ElementId) -> Range<usize> {
        let element = self.element(id);
        element.content as usize..element.content_end as usize
    }

    /// The text of the start tag between `<` and `>`, without the slash of an empty element.
    fn tag(&self, id: ElementId) -> &str {
        let element = self.element(id);
        let tag = &self.text[element.start as usize + 1..element.content as usize - 1];
        tag.strip_suffix('/').unwrap_or(tag)
    }

    pub(crate) fn attribute(&self, id: ElementId, name: &str) -> Option<String> {
        let tag = self.tag(id);
        let name_len = self.element(id).name_len as usize;
        Attributes::new(tag, name_len)
            .flatten()
            .find(|attribute| attribute.key.as_ref() == name.as_bytes())
            .and_then(|attribute| {
                super::value::unescape(std::str::from_utf8(&attribute.value).ok()?).ok()
            })
    }

    pub(crate) fn has_attributes(&self, id: ElementId) -> bool {
        let name_len = self.element(id).name_len as usize;
        !self.tag(id)[name_len..].trim().is_empty()
    }
}

#[derive(Default)]
struct Builder {
    elements: Vec<Element>,
    open: Vec<ElementId>,
}

impl Builder {
    fn build(mut self, text: &str) -> Result<Vec<Element>> {
        let skipped = if text.starts_with(BOM) { BOM.len() } else { 0 };
        if text[skipped..].starts_with(BOM) {
            // The reader would pass over a second one and count it nowhere.
            return Err((skipped, Fault::OutsideRoot));
        }
        let mut reader = Reader::from_str(&text[skipped..]);
        reader.config_mut().check_comments = true;
        let offset = |position: u64| usize::try_from(position).unwrap_or(usize::MAX) + skipped;
        loop {
            let at = offset(reader.buffer_position());
            let event = reader.read_event();
            let end = offset(reader.buffer_position());
            match event {
                Ok(Event::Eof) => break,
                Ok(event) => self.event(text, at, end, &event)?,
                Err(error) => {
                    let place = offset(reader.error_position());
                    return Err((place, explain(error)));
                }
            }
        }
        if let Some(id) = self.open.last() {
            let element = &self.elements[id.0 as usize];
            let from = element.start as usize + 1;
            let name = text[from..from + element.name_len as usize].to_owned();
            return Err((element.start as usize, Fault::NotClosed(name)));
        }
        if self.elements.is_empty() {
            return Err((text.len(), Fault::NoRoot));
        }
        Ok(self.elements)
    }

    fn event(&mut self, text: &str, at: usize, end: usize, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Start(tag) => {
                let id = self.start(at, end, tag)?;
                if self.open.len() == MAX_DEPTH {
                    return Err((at, Fault::TooDeep));
                }
                self.open.push(id);
            }
            Event::Empty(tag) => {
                self.start(at, end, tag)?;
            }
            Event::End(_) => {
                // The reader has checked that it fits, so one is open.
                if let Some(id) = self.open.pop() {
                    let element = &mut self.elements[id.0 as usize];
                    element.content_end = small(at);
                    element.end = small(end);
                }
            }
            Event::Text(_) => self.text(text, at, end)?,
            Event::CData(_) | Event::GeneralRef(_) if self.open.is_empty() => {
                return Err((at, Fault::OutsideRoot));
            }
            Event::GeneralRef(reference) => {
                let name = String::from_utf8_lossy(reference).into_owned();
                super::value::resolve(&name).ok_or((at, Fault::Entity(name)))?;
            }
            Event::Decl(declaration) => check_declaration(text, at, declaration)?,
            Event::PI(_) => return Err((at, Fault::ProcessingInstruction)),
            Event::DocType(_) => return Err((at, Fault::DocumentType)),
            Event::CData(_) | Event::Comment(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn text(&self, text: &str, at: usize, end: usize) -> Result<()> {
        let text = &text[at..end];
        if let Some(bad) = text.find("]]>") {
            let fault = Fault::IllFormed("']]>' outside of a CDATA section".to_owned());
            return Err((at + bad, fault));
        }
        let visible = text.find(|c: char| !is_space(c));
        match visible {
            Some(offset) if self.open.is_empty() => Err((at + offset, Fault::OutsideRoot)),
            _ => Ok(()),
        }
    }

    /// Adds an element whose start tag is `at..end`.
    fn start(&mut self, at: usize, end: usize, tag: &BytesStart<'_>) -> Result<ElementId> {
        if end - at > MAX_TAG {
            return Err((at, Fault::TagTooLong));
        }
        if self.elements.len() == MAX_ELEMENTS {
            return Err((at, Fault::TooManyElements));
        }
        let parent = self.open.last().copied();
        if parent.is_none() && !self.elements.is_empty() {
            return Err((at, Fault::OutsideRoot));
        }
        let name = tag.name();
        check_name(name.as_ref()).map_err(|fault| (at, fault))?;
        check_attributes(tag).map_err(|fault| (at, fault))?;
        let id = ElementId(small(self.elements.len()));
        self.elements.push(Element {
            start: small(at),
            name_len: small(name.as_ref().len()),
            content: small(end),
            content_end: small(end),
            end: small(end),
            parent,
            first_child: None,
            last_child: None,
            next: None,
        });
        if let Some(parent) = parent {
            self.append(parent, id);
        }
        Ok(id)
    }

    fn append(&mut self, parent: ElementId, id: ElementId) {
        let parent = &mut self.elements[parent.0 as usize];
        match parent.last_child.replace(id) {
            Some(last) => self.elements[last.0 as usize].next = Some(id),
            None => parent.first_child = Some(id),
        }
    }
}

/// Offsets are at most [`MAX_BYTES`].
fn small(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

pub(crate) const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// XML 1.0, production 2.
pub(super) const fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

fn check_characters(text: &str) -> Result<()> {
    match text.char_indices().find(|(_, c)| !is_character(*c)) {
        Some((at, c)) => Err((at, Fault::Character(u32::from(c)))),
        None => Ok(()),
    }
}

/// Close to XML 1.0, production 5: whatever is not ASCII passes.
fn check_name(name: &[u8]) -> Result<(), Fault> {
    let is_start = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b':') || !b.is_ascii();
    let is_part = |b: u8| is_start(b) || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let is_name = name.first().is_some_and(|b| is_start(*b)) && name.iter().all(|b| is_part(*b));
    if is_name {
        return Ok(());
    }
    let shown: String = String::from_utf8_lossy(name).chars().take(40).collect();
    Err(Fault::Name(shown))
}

fn check_attributes(tag: &BytesStart<'_>) -> Result<(), Fault> {
    for (count, attribute) in tag.attributes().enumerate() {
        if count == MAX_ATTRIBUTES {
            return Err(Fault::TooManyAttributes);
        }
        let attribute = attribute.map_err(|error| Fault::Attribute(error.to_string()))?;
        check_name(attribute.key.as_ref())?;
        let value = std::str::from_utf8(&attribute.value).map_err(|_| Fault::NotUtf8)?;
        if value.contains('<') {
            return Err(Fault::Attribute("'<' in a value".to_owned()));
        }
        super::value::unescape(value)?;
    }
    Ok(())
}

fn check_declaration(text: &str, at: usize, declaration: &BytesDecl<'_>) -> Result<()> {
    let refused = Err((at, Fault::Declaration));
    if at != 0 && !(at == BOM.len() && text.starts_with(BOM)) {
        return refused;
    }
    match declaration.version() {
        Ok(version) if *version == *b"1.0" => {}
        _ => return refused,
    }
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if is_utf8(&name) => Ok(()),
        Some(_) => refused,
    }
}

fn is_utf8(name: &[u8]) -> bool {
    [&b"utf-8"[..], b"utf8", b"us-ascii", b"ascii"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

fn explain(error: XmlError) -> Fault {
    match error {
        XmlError::IllFormed(IllFormedError::MismatchedEndTag { expected, .. }) => {
            Fault::NotClosed(expected.chars().take(80).collect())
        }
        error => Fault::IllFormed(error.to_string().chars().take(200).collect()),
    }
}
