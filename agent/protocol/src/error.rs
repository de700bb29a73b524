//! The interface of every typed error of the agent: a stable code and a hint.

use crate::Problem;
use crate::plan::Trace;

/// An error with a stable code (`image.truncated`, `plan.ambiguous`, ...) that protocol, console and exit status share.
///
/// An implementation's `Display` says what happened to which path, device or URL, and never repeats its source.
pub trait Coded: std::error::Error {
    /// Stable, dotted, lower case; listed in docs/errors.md. Never reworded once released.
    fn code(&self) -> &'static str;

    /// What the user should do now, if anything.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The candidates that were considered, if a plan was refused.
    fn trace(&self) -> Option<&Trace> {
        None
    }

    /// The wire form: the message, and each source below it once.
    fn problem(&self) -> Problem
    where
        Self: Sized,
    {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(error) = next {
            causes.push(error.to_string());
            next = error.source();
        }
        Problem { code: self.code().to_owned(), message: self.to_string(), causes, hint: self.hint() }
    }
}

/// For code that cannot fail but is called where errors are possible.
impl Coded for std::convert::Infallible {
    fn code(&self) -> &'static str {
        match *self {}
    }
}
