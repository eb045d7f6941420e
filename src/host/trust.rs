//! Decides about unknown host keys: refuse, or ask a person at the terminal.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::{self, BufRead, BufReader, Write};
use std::pin::Pin;

use tokio::sync::Mutex;

use super::known_hosts::UnknownKey;

/// Who decides about a host key that nothing is known about. A key that differs from a recorded one
/// is nobody's decision: it always fails.
pub trait Trust: Send + Sync {
    /// Whether to trust this key from now on. If so, it is recorded in `known_hosts`.
    fn accept<'a>(
        &'a self,
        question: &'a UnknownKey,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
}

/// Trusts no unknown key: for runs without a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Refuse;

/// Asks on the terminal, one question at a time.
#[derive(Debug, Default)]
pub struct Ask(Mutex<()>);

impl Trust for Refuse {
    fn accept<'a>(&'a self, _: &'a UnknownKey) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(false))
    }
}

impl Trust for Ask {
    fn accept<'a>(
        &'a self,
        question: &'a UnknownKey,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let UnknownKey { host, fingerprint, note, .. } = question.clone();
        Box::pin(async move {
            let _turn = self.0.lock().await;
            let note = note.unwrap_or_default();
            let text = format!(
                "The host key of {host} is unknown: {fingerprint}. {note}\nTrust it? [yes/no] "
            );
            tokio::task::spawn_blocking(move || ask(&text).unwrap_or(false)).await.unwrap_or(false)
        })
    }
}

fn ask(text: &str) -> io::Result<bool> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(text.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
