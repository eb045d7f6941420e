//! YAML as a tree in which everything knows its place.
//!
//! An inventory needs no anchors, tags, many documents or deep nesting, and hostile files do: all are
//! refused. Duplicate keys are findings, beside which reading goes on.

use std::collections::HashMap;

use saphyr::{ScalarOwned, ScalarStyle, ScanError};
use saphyr_parser::{Event, Parser, StrInput};

use super::keys::Key;
use super::source::{Finding, Span};

/// Deeper nesting is refused; the deepest key stands at 6, the rest is for kubelet settings.
const DEPTH_LIMIT: usize = 20;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// What it means, and how it is written.
    Scalar(ScalarOwned, String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping, where it stands, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub span: Span,
    pub value: Node,
}

impl Node {
    /// A file in which nothing is written.
    pub fn empty() -> Self {
        Self { span: 0..0, value: Value::Scalar(ScalarOwned::Null, String::new()) }
    }

    /// What `text` says, a value of an inventory.
    pub fn of(text: &str) -> Option<Self> {
        parse(text, "", &mut Vec::new()).ok().map(|(node, _)| node)
    }

    pub fn is_empty(&self) -> bool {
        matches!(&self.value, Value::Scalar(ScalarOwned::Null, _))
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The value of that `name` in this mapping.
    pub fn entry(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == name).map(|entry| &entry.value)
    }

    /// What is written at `key`, if this is the document or the item of a list that has it.
    pub fn get(&self, key: &Key) -> Option<&Self> {
        key.within().split('.').try_fold(self, Self::entry)
    }

    /// The items of the list that is written at `key`, as [`Self::get`] finds it.
    pub fn items(&self, key: &Key) -> impl Iterator<Item = &Self> {
        self.get(key).into_iter().flat_map(Self::list)
    }

    /// The items of a list; a single value counts as a list of one.
    pub fn list(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { std::slice::from_ref(self) }
    }

    /// A scalar, as it is written.
    pub fn text(&self) -> Option<&str> {
        if let Value::Scalar(_, text) = &self.value { Some(text) } else { None }
    }

    /// Whether this is a single value, and not nothing.
    pub fn is_scalar(&self) -> bool {
        matches!(&self.value, Value::Scalar(..)) && !self.is_empty()
    }

    /// A number with a fraction or an exponent.
    pub fn fraction(&self) -> Option<f64> {
        match &self.value {
            Value::Scalar(ScalarOwned::FloatingPoint(n), _) => Some(n.into_inner()),
            _ => None,
        }
    }

    /// A whole number.
    pub fn integer(&self) -> Option<i64> {
        if let Value::Scalar(ScalarOwned::Integer(n), _) = self.value { Some(n) } else { None }
    }

    /// What this is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(ScalarOwned::Null, _) => "nothing",
            Value::Scalar(ScalarOwned::Boolean(_), _) => "true or false",
            Value::Scalar(ScalarOwned::Integer(_) | ScalarOwned::FloatingPoint(_), _) => "a number",
            Value::Scalar(ScalarOwned::String(_), _) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads `text`: the inventory, and a second document that is of `kind`. Duplicate keys go to
/// `findings`; what makes the rest unreadable is the error.
pub(super) fn parse(
    text: &str,
    kind: &str,
    findings: &mut Vec<Finding>,
) -> Result<(Node, Option<Node>), Finding> {
    let mut offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
    offsets.push(text.len());
    let mut reader = Reader { parser: Parser::new_from_str(text), offsets, findings };
    let (mut root, mut second) = (None, None);
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if second.is_some() => {
                return Err(Finding::new("a third document", &span, "one cluster per file"));
            }
            event if root.is_some() => {
                let node = reader.node(event, span.clone(), 0)?;
                if node.entry("kind").and_then(Node::text) != Some(kind) {
                    return Err(Finding::new("a second document", &span, "one cluster per file")
                        .hint(format!("a `{kind}` may follow, and nothing else")));
                }
                second = Some(node);
            }
            event => root = Some(reader.node(event, span, 0)?),
        }
    }
    match root {
        Some(root) if !root.is_empty() => Ok((root, second)),
        _ => Err(Finding::new("the inventory is empty", &(0..0), "")
            .hint("docs/inventory.md says how to write one")),
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Where each character begins: the parser counts characters, the rest of us bytes.
    offsets: Vec<usize>,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Reader<'a> {
    fn offset(&self, marker: &saphyr::Marker) -> usize {
        self.offsets.get(marker.index()).or(self.offsets.last()).copied().unwrap_or_default()
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Finding> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                Ok((event, self.offset(&span.start)..self.offset(&span.end)))
            }
            Some(Err(error)) => Err(self.syntax_error(&error)),
            None => Ok((Event::StreamEnd, 0..0)),
        }
    }

    fn syntax_error(&self, error: &ScanError) -> Finding {
        let at = self.offset(error.marker());
        Finding::new("not valid YAML", &(at..at), error.info())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Finding> {
        if depth > DEPTH_LIMIT {
            return Err(Finding::new("nested too deeply", &span, ""));
        }
        let tagged = match &event {
            Event::Scalar(.., tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag) => {
                tag.is_some()
            }
            _ => false,
        };
        if tagged {
            return Err(Finding::new("tags are not supported", &span, "remove the `!…` before it"));
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let meaning = if style == ScalarStyle::Plain && text.is_empty() {
                    ScalarOwned::Null
                } else if style == ScalarStyle::Plain {
                    ScalarOwned::parse_from_cow(text.clone())
                } else {
                    ScalarOwned::String(text.clone().into_owned())
                };
                Ok(Node { span, value: Value::Scalar(meaning, text.into_owned()) })
            }
            Event::SequenceStart(..) => self.list(span, depth),
            Event::MappingStart(..) => self.map(span, depth),
            _ => Err(Finding::new("aliases are not supported", &span, "write the value out")),
        }
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Finding> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Node { span: start.start..span.end, value: Value::List(items) });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Node, Finding> {
        let mut entries = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Node { span: start.start..at.end, value: Value::Map(entries) });
            }
            let Node { span, value: Value::Scalar(_, key) } = self.node(event, at, depth + 1)?
            else {
                return Err(Finding::new("a key that is not text", &start, ""));
            };
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth + 1)?;
            if let Some(first) = seen.get(&key) {
                let finding =
                    Finding::new(format!("duplicate key `{key}`"), &span, "written again");
                self.findings.push(finding.mark(first, "first written here"));
            } else {
                seen.insert(key.clone(), span.clone());
                entries.push(Entry { key, span, value });
            }
        }
    }
}
