//! The command that leads on from where a run waits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A command without the name of what it is about: whoever shows it knows that. Written out as the
/// command line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Next {
    /// Go on, or try again.
    Apply,
    /// Go on after a pause.
    Resume,
    /// Go back.
    Rollback,
    /// Remove everything.
    Abort,
    /// End the way back.
    Finish,
    /// Compare both sides.
    Verify,
    /// Look.
    Status,
    /// Start the gate, then go on.
    Gate,
}

const ALL: [Next; 8] = [
    Next::Apply,
    Next::Resume,
    Next::Rollback,
    Next::Abort,
    Next::Finish,
    Next::Verify,
    Next::Status,
    Next::Gate,
];

impl Next {
    /// The words.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Next::Apply => "changeover apply",
            Next::Resume => "changeover resume",
            Next::Rollback => "changeover rollback",
            Next::Abort => "changeover abort",
            Next::Finish => "changeover finish",
            Next::Verify => "changeover verify",
            Next::Status => "changeover status",
            Next::Gate => "start `changeover gate` with the plan, then changeover apply",
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.command())
    }
}

impl From<Next> for &'static str {
    fn from(next: Next) -> &'static str {
        next.command()
    }
}

impl TryFrom<String> for Next {
    type Error = String;

    fn try_from(text: String) -> Result<Next, String> {
        let known = ALL.into_iter().find(|next| next.command() == text);
        known.ok_or_else(|| format!("`{text}` is no command that leads on"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_read_as_it_was_written() {
        for next in ALL {
            let text = serde_json::to_string(&next).unwrap();
            assert_eq!(serde_json::from_str::<Next>(&text).unwrap(), next);
        }
        assert!(serde_json::from_str::<Next>("\"changeover dance\"").is_err());
    }
}
