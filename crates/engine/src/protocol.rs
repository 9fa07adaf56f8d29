//! What a verb asks of the run's daemon over `run.sock`, and what it answers: one JSON object a
//! line, versioned like the gate's orders.
//!
//! A connection carries requests one after another; each gets one [`Reply`] with its id. After
//! [`Ask::Watch`] the same connection carries nothing but replies with that id: first a
//! [`Answer::Status`], then each [`Answer::Event`] as it happens and a [`Answer::Status`] at least
//! every [`STATUS_EVERY_MS`], until one side closes it.

mod control;
mod program;
mod status;

use changeover_plan::Unmovable;
use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

use crate::Report;

pub use control::{
    ApprovalStatus, ControlStatus, GuardStatus, ObjectiveStatus, StepOutcome, StepResult, WaitsFor,
    WindowStatus,
};
pub(crate) use control::{asked as approval_asked, waiting as waits_for};
pub(crate) use program::waiting as program_waits;
pub use program::{ComponentStatus, ProgramStatus};
pub use status::{
    CanaryStatus, CheckStatus, CopyStatus, CutoverStatus, GatesStatus, OutsideStatus, RelayStatus,
    RouteStatus, RunState, RunStatus, VerifyStatus,
};

/// The version of this protocol; both ends refuse another.
pub const PROTOCOL_VERSION: u32 = 1;
/// The socket's name in the state folder.
pub const RUN_SOCKET: &str = "run.sock";
/// The longest time between two statuses of a watch.
pub const STATUS_EVERY_MS: u64 = 500;
/// The longest line, in bytes; a longer one ends the connection.
pub const LINE_MAX_BYTES: usize = 1024 * 1024;

/// A line to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL_VERSION`].
    pub v: u32,
    /// Echoed in the replies.
    pub id: u64,
    /// What is wanted.
    pub ask: Ask,
    /// The name that whoever asks goes by, for the journal and for approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What is wanted of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Say where the run stands. Changes nothing.
    Status,
    /// Send events and statuses from now on.
    Watch {
        /// Events with a higher number than this are sent first, as far as they are still known;
        /// `None` starts with the next one.
        after: Option<u64>,
    },
    /// Go on after a pause or a rollback. Accepted and without effect while the run is going on.
    Retry,
    /// The same, but only to the end of a phase: the run rests there.
    Until {
        /// Its name.
        phase: String,
    },
    /// Rest at the end of the present step. Accepted and without effect while the run goes nowhere.
    Rest,
    /// Somebody runs `apply` on a plan that asks for approvals.
    Apply,
    /// Begin nothing more. Accepted and without effect while the run is paused.
    Pause {
        /// Why, for the journal.
        why: String,
    },
    /// Go on after a pause. Accepted and without effect while the run is going on.
    Resume,
    /// Leave this step out, which must be the present one: a check or a wait.
    Skip {
        /// As `phase/step`.
        step: String,
        /// Why, for the journal.
        why: String,
    },
    /// Say yes to what waits for an approval.
    Approve {
        /// [`ApprovalStatus::facts`] as it was looked at.
        facts: String,
    },
    /// Say no to it.
    Reject {
        /// [`ApprovalStatus::facts`] as it was looked at.
        facts: String,
        /// Why, for the journal.
        why: String,
    },
    /// Before the grant: remove everything we made.
    Abort {
        /// Also what another run left, whose state folder is lost for good.
        #[serde(default)]
        lost: bool,
    },
    /// Take authority and weights back to the source.
    Rollback {
        /// Why, for the journal.
        why: String,
    },
    /// From now on, do so with sessions whose state cannot move.
    Unmovable {
        /// What.
        policy: Unmovable,
    },
    /// Let the target keep what it has; nothing of authority has moved yet.
    GiveUpRollback,
    /// End the way back.
    Finish {
        /// The migration's name, typed again: a slip must not reach the point of no return.
        confirm: String,
    },
    /// Compare both sides now. Once accepted, [`RunStatus::verify`] is the new comparison, with
    /// `complete` false until it is done.
    Verify,
    /// Stop the daemon and leave the migration as it is; slots retain.
    Shutdown,
}

impl Ask {
    /// As written on the command line.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Ask::Status => "status",
            Ask::Watch { .. } => "watch",
            Ask::Retry | Ask::Until { .. } | Ask::Apply => "apply",
            Ask::Pause { .. } => "pause",
            Ask::Resume => "resume",
            Ask::Skip { .. } => "skip",
            Ask::Approve { .. } => "approve",
            Ask::Reject { .. } => "approve --reject",
            Ask::Rest => "rest",
            Ask::Abort { .. } => "abort",
            Ask::Rollback { .. } => "rollback",
            Ask::Unmovable { policy: Unmovable::Wait } => "--unmovable wait",
            Ask::Unmovable { policy: Unmovable::Terminate } => "--unmovable terminate",
            Ask::GiveUpRollback => "rollback --give-up",
            Ask::Finish { .. } => "finish",
            Ask::Verify => "verify",
            Ask::Shutdown => "shutdown",
        }
    }
}

/// A line from the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// [`PROTOCOL_VERSION`].
    pub v: u32,
    /// The request's id.
    pub id: u64,
    /// The outcome.
    pub answer: Answer,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Answer {
    /// Where the run stands.
    Status(Box<RunStatus>),
    /// Where a program stands.
    Program(Box<ProgramStatus>),
    /// Journalled and begun: the next status already shows it. Watch it to its end.
    Accepted,
    /// Something happened (only in a watch).
    Event(Event),
    /// Not done, nothing changed.
    Refused(Fault),
}

/// A [`Report`] that travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A stable code such as `CO0201`.
    pub code: String,
    /// What did not work, in one line.
    pub headline: String,
    /// The causes, outermost first.
    pub chain: Vec<String>,
    /// What to do next.
    pub hints: Vec<String>,
    /// The exit code of the verb.
    pub exit: u8,
}

impl From<&Report> for Fault {
    fn from(report: &Report) -> Fault {
        Fault {
            code: report.code.to_owned(),
            headline: report.headline.clone(),
            chain: report.chain.clone(),
            hints: report.hints.clone(),
            exit: report.exit,
        }
    }
}

/// Something that happened, for people and for logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Grows with each event of a daemon's life.
    pub number: u64,
    /// When.
    pub at: WallMs,
    /// What kind.
    pub kind: EventKind,
    /// The step it belongs to, as `phase/step`.
    pub step: Option<String>,
    /// In one line, for a person.
    pub text: String,
    /// The same for a program; `null` if the line says all.
    #[serde(default)]
    pub data: serde_json::Value,
}

/// What kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A step begins.
    StepStarted,
    /// A step is done.
    StepFinished,
    /// Something on the way that is worth a line.
    Progress,
    /// An attempt of the cutover was called off; the text names who blocked.
    CalledOff,
    /// Authority moved; `data` holds the pause and the longest wait.
    AuthorityMoved,
    /// Nothing failed, but somebody should know.
    Warning,
    /// The run waits for its operator.
    Paused,
    /// The run goes on.
    Resumed,
    /// People are asked, or have answered; `data` holds the approval.
    Approval,
    /// A guard was bad for too long, or is good again; `data` names it.
    Guard,
    /// The run reached an end: done, rolled back, aborted or finished.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line that the page shows is one of the protocol's.
    #[test]
    fn the_page_about_the_sockets_is_right() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sockets.md");
        let page = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = page.split('`').filter(|it| it.starts_with("{\"v\"")).collect();
        let mut kinds = [0; 3];
        for line in lines {
            if line.contains("\"ask\"") {
                serde_json::from_str::<Request>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
                kinds[0] += 1;
            } else if line.contains("\"order\"") {
                serde_json::from_str::<changeover_routing::Request>(line)
                    .unwrap_or_else(|e| panic!("{line}: {e}"));
                kinds[1] += 1;
            } else {
                serde_json::from_str::<Reply>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
                kinds[2] += 1;
            }
        }
        assert_eq!(kinds, [10, 10, 3]);
    }

    #[test]
    fn a_request_is_one_readable_line() {
        let ask = Ask::Rollback { why: "late".into() };
        let request = Request { v: 1, id: 7, ask, name: None };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(line, r#"{"v":1,"id":7,"ask":{"do":"rollback","why":"late"}}"#);
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        let plain = serde_json::to_string(&Ask::Status).unwrap();
        assert_eq!(plain, r#"{"do":"status"}"#);
        assert!(
            serde_json::from_str::<Ask>(r#"{"do":"finish","confirm":"x","force":true}"#).is_err()
        );
    }

    #[test]
    fn every_answer_survives_its_line() {
        let report = Report::new("CO0001", "no").cause("why").hint("changeover status").exit(5);
        let event = Event {
            number: 1,
            at: WallMs(2),
            kind: EventKind::CalledOff,
            step: Some("cutover/cutover".into()),
            text: "called off".into(),
            data: serde_json::json!({"blockers": ["psql"]}),
        };
        for answer in [
            Answer::Accepted,
            Answer::Event(event),
            Answer::Refused(Fault::from(&report)),
            Answer::Status(Box::new(RunStatus::example())),
        ] {
            let reply = Reply { v: 1, id: 1, answer };
            let line = serde_json::to_string(&reply).unwrap();
            assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
        }
    }
}
