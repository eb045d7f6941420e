//! The inventory's text, and excerpts of it that point at what is wrong.

use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::bounded;
use crate::diagnostic::{Error, Kind, Result, printable};

/// A larger file is not an inventory.
const SIZE_LIMIT: u64 = 1 << 20;

/// More findings than these are counted, not shown.
const SHOWN: usize = 20;

/// Bytes of the text.
pub(super) type Span = Range<usize>;

/// Something wrong in the inventory.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    title: String,
    marks: Vec<(Span, String)>,
    hint: Option<String>,
}

impl Finding {
    /// `title` says what is wrong; `label` stands under the text at `span`, and may be empty.
    pub fn new(title: impl AsRef<str>, span: &Span, label: impl AsRef<str>) -> Self {
        let title = printable(title.as_ref());
        Self { title, marks: Vec::new(), hint: None }.mark(span, label)
    }

    /// Another place that matters.
    pub fn mark(mut self, span: &Span, label: impl AsRef<str>) -> Self {
        self.marks.push((span.clone(), printable(label.as_ref())));
        self
    }

    /// What to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// An inventory's text and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    path: PathBuf,
    dir: PathBuf,
    text: String,
}

/// What the file at `path` holds, as far as an inventory may be large, and a byte more.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    if passes(path) {
        let message =
            format!("the inventory must be a file that stays, and {} is not", path.display());
        let hint = "write it to a file first: the cluster's keys are kept beside it, in `.slipway`";
        return Err(Error::new(Kind::Inventory, message).hint(hint));
    }
    bounded::read(path, SIZE_LIMIT).map_err(|e| {
        let message = format!("cannot read the inventory {}: {e}", path.display());
        Error::new(Kind::Inventory, message)
            .hint("name it with `-i FILE`; docs/inventory.md says how to write one")
    })
}

/// Whether `path` names no file that lasts: standard input, a pipe, a device, or anything in a file
/// system of the kernel's. What cannot be looked at is left to whoever opens it.
fn passes(path: &Path) -> bool {
    if path.as_os_str() == "-" {
        return true;
    }
    let special = path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new(".")).canonicalize();
    special || dir.is_ok_and(|dir| ["/dev", "/proc", "/sys"].iter().any(|top| dir.starts_with(top)))
}

impl Source {
    /// `bytes` is what the file at `path` holds.
    pub fn new(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let shown = path.display();
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(Error::new(Kind::Inventory, format!("{shown} is larger than 1 MiB")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::new(Kind::Inventory, format!("{shown} is not UTF-8 text")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        let dir = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self { path: path.to_owned(), dir, text })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// All findings as one error, in the order of their places.
    pub fn error(&self, mut findings: Vec<Finding>) -> Error {
        findings.sort_by_key(|finding| finding.marks.first().map(|(span, _)| span.start));
        if let [Finding { title, marks, hint }] = findings.as_slice() {
            let error = Error::new(Kind::Inventory, title).snippet(self.excerpt(marks));
            return match hint {
                Some(hint) => error.hint(hint),
                None => error,
            };
        }
        let all = findings.len();
        let head = format!("{all} errors in {}", self.path.display());
        findings.truncate(SHOWN);
        let error = findings.iter().fold(Error::new(Kind::Inventory, head), |error, finding| {
            let hint = finding.hint.iter().map(|hint| format!("\nhint: {hint}"));
            let excerpt = self.excerpt(&finding.marks);
            let hint: String = hint.collect();
            error.snippet(format!("\nerror: {}\n{}{hint}", finding.title, excerpt.trim_end()))
        });
        match all.saturating_sub(SHOWN) {
            0 => error,
            more => error.note(format!("and {more} more")),
        }
    }

    /// The lines at `marks`, with each label under its place; the first is the main one.
    pub fn excerpt(&self, marks: &[(Span, String)]) -> String {
        let path = self.path.display().to_string();
        let annotations = marks.iter().enumerate().map(|(i, (span, label))| {
            let kind = if i == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            kind.span(self.first_line(span)).label((!label.is_empty()).then_some(label.as_str()))
        });
        let snippet = Snippet::source(&self.text).path(&path).annotations(annotations);
        let group = Group::with_level(Level::ERROR).element(snippet);
        Renderer::plain().decor_style(DecorStyle::Unicode).render(&[group])
    }

    /// The part of `span` that stands on its first line, so that an excerpt stays short.
    fn first_line(&self, span: &Span) -> Span {
        let start = span.start.min(self.text.len());
        let rest = self.text.get(start..span.end.max(start)).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default().trim_end();
        start..start + line.len()
    }
}
