//! A part of a text file on a node that others write too.

use super::{Change, Drift, File, Resource};
use crate::command::Output;
use crate::diagnostic::{Error, Kind, Result};
use crate::probe::{Probe, TEXT_LIMIT};

/// A part of a text file, between two lines of ours; the rest stays as it is.
pub struct Block {
    path: &'static str,
    text: String,
}

impl Block {
    const BEGIN: &str = "# slipway begin: lines up to `slipway end` are written by slipway";
    const END: &str = "# slipway end";

    /// `text` in the file at `path`.
    pub fn new(path: &'static str, text: impl Into<String>) -> Self {
        Self { path, text: text.into() }
    }

    /// Whether each of our first lines is followed by our last one, before the next begins.
    fn paired(text: &str) -> bool {
        let mut inside = false;
        let paired = text.split('\n').all(|line| match line {
            Self::BEGIN => !std::mem::replace(&mut inside, true),
            Self::END => std::mem::replace(&mut inside, false),
            _ => true,
        });
        paired && !inside
    }

    /// The whole desired file, given its text now.
    fn whole(&self, now: &str) -> String {
        let mut lines = Vec::new();
        let mut inside = false;
        // Not `lines`: a carriage return belongs to the rest, which stays as it is.
        for line in now.split('\n') {
            match line {
                Self::BEGIN => inside = true,
                Self::END => inside = false,
                other if !inside => lines.push(other),
                _ => {}
            }
        }
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        lines.extend([Self::BEGIN, self.text.trim_end(), Self::END]);
        lines.join("\n") + "\n"
    }

    fn file(&self, seen: &Output) -> File {
        File::text(self.path, self.whole(&Self::text(seen)))
    }

    /// The file's text now.
    fn text(seen: &Output) -> String {
        let brought = File::seen(seen).map(|(_, brought)| brought).unwrap_or_default();
        String::from_utf8_lossy(brought).into_owned()
    }
}

impl Resource for Block {
    fn id(&self) -> String {
        format!("block in {}", self.path)
    }

    fn probe(&self) -> Probe {
        Probe::file(self.path, true, None)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = Self::text(seen);
        if text.len() >= TEXT_LIMIT {
            let message = format!("{} is larger than {TEXT_LIMIT} bytes", self.path);
            return Err(Error::new(Kind::Preflight, message));
        }
        if text.contains('\u{fffd}') || !Self::paired(&text) {
            let message = format!("{} cannot be edited without loss", self.path);
            return Err(Error::new(Kind::Preflight, message).hint(
                "it is not UTF-8, or has one of slipway's two marks without the other; fix it by hand",
            ));
        }
        self.file(seen).compare(seen)
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        self.file(seen).converge(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_leaves_the_rest_alone_and_is_stable() {
        let block = Block::new("/etc/hosts", "10.0.0.1 a");
        let first = block.whole("127.0.0.1 localhost\n\n");
        assert!(first.starts_with("127.0.0.1 localhost\n# slipway begin"), "{first}");
        assert_eq!(block.whole(&first), first);
        let moved = Block::new("/etc/hosts", "10.0.0.2 a").whole(&first);
        assert!(moved.contains("10.0.0.2 a") && !moved.contains("10.0.0.1 a"), "{moved}");
    }

    #[test]
    fn carriage_returns_are_of_the_rest() {
        let block = Block::new("/etc/hosts", "10.0.0.1 a");
        let first = block.whole("127.0.0.1 localhost\r\n\r\r\n");
        assert!(first.starts_with("127.0.0.1 localhost\r\n\r\r\n# slipway begin"), "{first:?}");
        assert_eq!(block.whole(&first), first);
    }

    #[test]
    fn a_mark_without_its_other_is_refused() {
        let (begin, end) = (Block::BEGIN, Block::END);
        for text in [
            format!("127.0.0.1 localhost\n{begin}\n10.0.0.9 mine\n"),
            format!("{end}\n10.0.0.8 mine\n{begin}\n10.0.0.9 mine\n"),
            format!("{begin}\n{begin}\n{end}\n10.0.0.9 mine\n{end}\n"),
        ] {
            let stdout = format!("644 root:root\n{text}").into_bytes();
            let seen = Output { stdout, ..Output::default() };
            assert!(Block::new("/etc/hosts", "10.0.0.1 a").compare(&seen).is_err(), "{text}");
        }
    }
}
