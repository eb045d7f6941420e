//! The one error type that crosses modules, its kinds, and the exit codes they stand for.
//!
//! An error says what went wrong (`message`), what led to it (`notes`, one line each, already
//! escaped) and what to do next (`hint`). Errors about a file that a person wrote carry the place
//! in it as a rendered snippet.

use std::fmt;

/// What sort of failure this is. Each kind has its own exit code, listed in the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The command line is wrong.
    Usage,
    /// The inventory, or another file that a person wrote or named, is wrong.
    Inventory,
    /// A node cannot be reached, or is not who it should be.
    Connection,
    /// The machines are not in a state that slipway may change.
    Preflight,
    /// A command failed, here or on a node.
    Command,
    /// A condition did not come true within its limit.
    Timeout,
    /// This machine lacks something: a package, a permission, a kernel feature.
    Machine,
    /// The user said no, or a run was interrupted.
    Declined,
    /// The machines are no longer as the plan found them.
    Outdated,
    /// A mistake in slipway itself.
    Bug,
}

impl Kind {
    /// Every kind, in the order of its exit code.
    pub const ALL: [Self; 10] = [
        Self::Usage,
        Self::Inventory,
        Self::Connection,
        Self::Preflight,
        Self::Command,
        Self::Timeout,
        Self::Bug,
        Self::Machine,
        Self::Declined,
        Self::Outdated,
    ];

    /// The process's exit code for this kind. Codes start at 64 (as in BSD's `sysexits.h`), so that
    /// 1 stays "the shell's own" and 2 means *there are changes* (`slipway plan --exit-code`).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Inventory => 65,
            Self::Connection => 66,
            Self::Preflight => 67,
            Self::Command => 68,
            Self::Timeout => 69,
            Self::Bug => 70,
            Self::Machine => 71,
            Self::Declined => 72,
            Self::Outdated => 73,
        }
    }
}

/// A failure, fit to be shown to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
    snippets: Vec<String>,
    notes: Vec<String>,
    hint: Option<String>,
    passing: bool,
}

/// The result of everything in slipway that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`; `message` says what went wrong, in lower case, without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            snippets: Vec::new(),
            notes: Vec::new(),
            hint: None,
            passing: false,
        }
    }

    /// This may pass by itself: trying again later makes sense.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// Whether this may pass by itself.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// What to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(printable_lines(&hint.into()));
        self
    }

    /// One more line of context. Text that came from a node or a command is escaped by
    /// [`printable`].
    #[must_use]
    pub fn note(mut self, note: impl AsRef<str>) -> Self {
        self.notes.extend(note.as_ref().lines().map(printable));
        self
    }

    /// A rendered excerpt of the file that the error is about; several may be added.
    #[must_use]
    pub fn snippet(mut self, rendered: impl AsRef<str>) -> Self {
        self.snippets.push(printable_lines(rendered.as_ref()));
        self
    }

    /// Puts `context` before the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The kind, hence the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What went wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Its further lines, already escaped.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What to do next, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", escaped(&self.message))?;
        for snippet in &self.snippets {
            write!(f, "\n{}", snippet.trim_end())?;
        }
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// `text` with control characters (so also ANSI escapes) replaced by visible escapes, and cut after
/// 400 characters: whatever a node or a command prints may be hostile.
#[must_use]
pub fn printable(text: &str) -> String {
    const LIMIT: usize = 400;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => escaped(text.get(..end).unwrap_or_default()) + "…",
        None => escaped(text),
    }
}

/// `text` with the same escapes, in as many lines as before, and not cut.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        // Also what turns the direction of text: it would show other words than are there.
        let turns = matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        if turns || (c.is_control() && c != '\t') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// What a program printed, for an error's notes: the last `count` lines of `text` that are not blank,
/// without the sequences that colour a terminal. Among them the lines in which kubeadm says what it
/// found (`[ERROR …]`) come first, however long ago it did.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let plain: Vec<_> = text.lines().map(console::strip_ansi_codes).collect();
    let lines = plain.iter().map(AsRef::as_ref).filter(|line: &&str| !line.trim().is_empty());
    let (mut errors, rest): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| line.trim_start().starts_with("[ERROR "));
    errors.truncate(count);
    let from = rest.len().saturating_sub(count - errors.len());
    errors.extend(rest.get(from..).unwrap_or_default());
    errors.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_leave_1_and_2_alone() {
        let mut codes: Vec<u8> = Kind::ALL.iter().map(|kind| kind.exit_code()).collect();
        codes.dedup();
        assert_eq!(codes.len(), Kind::ALL.len());
        assert!(codes.iter().all(|code| *code >= 64));
    }

    #[test]
    fn output_of_a_node_cannot_reach_the_terminal_as_control_characters() {
        let error = Error::new(Kind::Command, "x").note("\u{1b}[31mred\u{7}\nne\u{202e}xt");
        assert_eq!(error.to_string(), "error: x\n  \\u{1b}[31mred\\u{7}\n  ne\\u{202e}xt");
    }

    #[test]
    fn nor_can_what_an_excerpt_or_a_hint_quotes() {
        let error = Error::new(Kind::Inventory, "x").snippet("\n1 │ \u{9b}2J\n").hint("no \u{9e}");
        assert_eq!(error.to_string(), "error: x\n\n1 │ \\u{9b}2J\nhint: no \\u{9e}");
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(printable(&"x".repeat(500)).chars().count(), 401);
    }

    #[test]
    fn last_lines_skips_blanks() {
        assert_eq!(last_lines("a\n\nb\n\nc\n", 2), "b\nc");
    }

    #[test]
    fn colours_of_programs_are_left_out() {
        let text = "\u{1b}[0;37mreset\u{1b}[0m\u{7}\n\u{1b}[0m\n\u{1b}]8;;http://x\u{1b}\\link\n";
        assert_eq!(last_lines(text, 5), "reset\u{7}\nlink");
        let error = Error::new(Kind::Command, "x").note(last_lines(text, 5));
        assert_eq!(error.notes(), ["reset\\u{7}", "link"]);
    }

    #[test]
    fn what_kubeadm_found_comes_first() {
        let text = "[init] Using\n\t[ERROR Port-10250]: Port 10250 is in use\n\t[ERROR Swap]: on\n\
                    [preflight] If you know what you are doing\nTo see the stack trace\n";
        let expected = "\t[ERROR Port-10250]: Port 10250 is in use\n\t[ERROR Swap]: on\n\
                        To see the stack trace";
        assert_eq!(last_lines(text, 3), expected);
        assert_eq!(last_lines(text, 1), "\t[ERROR Port-10250]: Port 10250 is in use");
    }
}
