//! The error type of this crate, and how calls get a time-out.

use std::fmt;
use std::time::Duration;

use kube::runtime::wait;

/// A failure, fit to be shown to a person. What an API server said is escaped.
#[derive(Debug)]
pub enum Error {
    /// An API server refused, or was not reached. What was tried comes first.
    Api(String, Box<kube::Error>),
    /// Something is not as it must be: what was found, what was expected.
    Refused(String),
    /// What was tried was not done within this time.
    Timeout(String, Duration),
    /// Text or bytes that cannot be read as what they should be.
    Invalid(String),
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(what, error) => write!(f, "{what}: {}", printable(&message_of(error))),
            Self::Refused(what) | Self::Invalid(what) => f.write_str(what),
            Self::Timeout(what, limit) => write!(f, "{what}: not done within {limit:?}"),
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

/// An API server's message, or why there is none. Not escaped.
pub(crate) fn message_of(error: &kube::Error) -> String {
    match error {
        // kube's Display prints the whole status after its message.
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

/// A failure that does not say what was tried.
pub trait Cause {
    /// The same failure of what was tried.
    fn during(self, what: String) -> Error;
}

impl Cause for kube::Error {
    fn during(self, what: String) -> Error {
        Error::Api(what, Box::new(self))
    }
}

impl Cause for wait::Error {
    fn during(self, what: String) -> Error {
        Error::Refused(format!("{what}: {}", printable(&chain(&self))))
    }
}

impl Cause for Error {
    /// Errors of this crate say it themselves.
    fn during(self, _: String) -> Error {
        self
    }
}

/// Says what was tried when a call fails.
pub trait Context<T> {
    /// Puts `what` before the failure.
    ///
    /// # Errors
    /// The failure, if there was one.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Cause> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.during(what()))
    }
}

/// The result of `call`, which may take as long as `limit`; `what` says in errors what was tried.
///
/// # Errors
/// If the call fails, or [`Error::Timeout`].
pub(crate) async fn within<T, E: Cause>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(ended) => ended.context(|| what.to_owned()),
        Err(_) => Err(Error::Timeout(what.to_owned(), limit)),
    }
}

/// `text` with control characters and characters that turn its direction escaped, and at most 400
/// characters long: text from another cluster may be hostile.
#[must_use]
pub fn printable(text: &str) -> String {
    crate::api::clip(text, 400)
}
