//! The one error type of this crate: what went wrong, and what to do where that is known.

use std::fmt;
use std::time::Duration;

/// A failure, fit to be shown to a person. What an API server said is escaped.
#[derive(Debug)]
pub enum Error {
    /// An API server refused, or was not reached. What was tried comes first.
    Api(String, Box<kube::Error>),
    /// Something is not as it must be: what was found, what was expected.
    Refused(String),
    /// A condition did not come true within its limit.
    Timeout(String, Duration),
    /// Text or bytes that cannot be read as what they should be.
    Invalid(String),
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(what, error) => write!(f, "{what}: {}", printable(&words(error))),
            Self::Refused(what) | Self::Invalid(what) => f.write_str(what),
            Self::Timeout(what, limit) => write!(f, "{what} did not happen within {limit:?}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The API server's status code, if it answered at all.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api(_, error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What an API server said, as it said it, or why it said nothing.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        // The status's own words: kube's Display prints the whole object after them.
        kube::Error::Api(status) => status.message.clone(),
        other => chain(other),
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Names what was tried when an API call fails.
pub trait Context<T> {
    /// Puts `what` before the failure.
    ///
    /// # Errors
    /// [`Error::Api`], where there was one.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for Result<T, kube::Error> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Api(what(), Box::new(error)))
    }
}

/// `text` without control characters and what turns its direction, cut after 400 characters: what
/// another cluster says may be hostile.
#[must_use]
pub fn printable(text: &str) -> String {
    crate::api::clip(text, 400)
}
