//! What reaches the person when something does not work.

use std::error::Error;

/// A fault as a person meets it: what happened, why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A stable code such as `CO0201`, for documents and searches.
    pub code: &'static str,
    /// What was tried and did not work, in one line.
    pub headline: String,
    /// The causes, outermost first.
    pub chain: Vec<String>,
    /// What to do: commands where there are any.
    pub hints: Vec<String>,
    /// The exit code (see `changeover help exit-codes`).
    pub exit: u8,
}

impl Report {
    /// A fault with exit code 1 and nothing else known.
    #[must_use]
    pub fn new(code: &'static str, headline: impl Into<String>) -> Self {
        Report { code, headline: headline.into(), chain: Vec::new(), hints: Vec::new(), exit: 1 }
    }

    /// With `error` and its sources as the causes.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.chain.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// With one more cause in words.
    #[must_use]
    pub fn cause(mut self, text: impl Into<String>) -> Self {
        self.chain.push(text.into());
        self
    }

    /// With one more thing to do.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// With another exit code.
    #[must_use]
    pub fn exit(mut self, code: u8) -> Self {
        self.exit = code;
        self
    }
}

/// An error and its sources in one line, outermost first.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}
