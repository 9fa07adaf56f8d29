//! Who and what may let a run go on, or stop it: approvals, windows, a deadline, guards.

use std::time::Duration;

use changeover_types::WallMs;
use serde::Serialize;

use crate::units::{show_duration, show_size};
pub use crate::window::{Opening, Window};

/// What must be so before a phase begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entrance {
    /// When it may begin. Asked first: people approve what is about to happen.
    pub window: Option<Window>,
    /// Who must have said yes.
    pub approve: Option<Approve>,
}

/// A phase that waits for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approve {
    /// Who may say yes; never empty.
    pub from: Vec<String>,
    /// How many of them must.
    pub count: usize,
    /// For how long they are waited for.
    pub within: Duration,
    /// Whether whoever ran `apply` counts.
    #[serde(rename = "self")]
    pub self_: bool,
    /// What happens when they did not in time.
    pub on_timeout: Outcome,
}

/// What becomes of a run whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It waits for its operator.
    Hold,
    /// What has moved goes back.
    Rollback,
    /// Everything we made is removed.
    Abort,
}

/// When the move must be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deadline {
    /// The instant.
    pub at: WallMs,
    /// What happens then to a run that is not done.
    pub on_reached: Outcome,
}

/// What is watched all along.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Guard {
    /// Unique in the plan.
    pub name: String,
    /// What is looked at.
    pub measure: Measure,
    /// What its figure must keep to; a command has none, its exit code says it.
    pub limit: Option<Limit>,
    /// How long it must be bad, or without data, before anything is done.
    #[serde(rename = "for")]
    pub for_: Duration,
    /// How often it is looked at.
    pub every: Duration,
    /// What is done when it is bad.
    pub on_fail: Reaction,
    /// What is done when nothing is known of it.
    pub on_no_data: OnNoData,
    /// Whether it follows from `objectives`: then a service without requests breaks none.
    pub objective: bool,
}

/// What a guard looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The share of the target's requests that failed in the last minute, at the gate.
    ErrorRate,
    /// The 99th percentile of the target's latency in the last minute at the gate, in seconds.
    LatencyP99,
    /// The age of what the relay that applies has not carried over yet, in seconds.
    RelayLag,
    /// The log that our slots make either server keep, in bytes.
    SlotRetained,
    /// Rows that differed when both sides were compared last.
    RowsDifferent,
    /// The one figure that a query gives.
    Prometheus {
        /// `http://host:port`, and a path if the server has one.
        url: String,
        /// PromQL.
        query: String,
    },
    /// A command: exit code 0 is good, any other is bad.
    Exec {
        /// Program and arguments; no shell.
        argv: Vec<String>,
        /// A command that takes longer is ended and gives no data.
        timeout: Duration,
    },
}

/// What a guard's figure must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Less than this is good.
    Below(f64),
    /// This or less is good.
    AtMost(f64),
    /// More than this is good.
    Above(f64),
    /// At most this multiple of the source's figure of the same minute is good.
    TimesSource(f64),
}

/// What a bad guard leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// What has moved goes back, once in a run; where nothing has, the run waits for its operator.
    Rollback,
    /// The run waits for its operator.
    Pause,
    /// Nothing is begun until the guard is good again.
    Hold,
    /// Everything we made is removed; after the cutover the run waits for its operator.
    Abort,
    /// It is said.
    Warn,
}

/// What a guard leads to once all steps are done, until `finish`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterDone {
    /// It is told, in `status` and its exit code, too.
    #[default]
    Alarm,
    /// The same; and one whose `on_fail` is `rollback` takes everything back, once in a run.
    Rollback,
}

/// What a guard without data leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNoData {
    /// Nothing is begun until there is data and it is good.
    Hold,
    /// As if it were bad.
    Fail,
    /// Nothing.
    Ignore,
}

impl Measure {
    /// A figure as a person reads it.
    #[must_use]
    pub fn show(&self, value: f64) -> String {
        match self {
            Measure::ErrorRate => format!("{:.2} %", value * 100.0),
            Measure::LatencyP99 => format!("{:.1} ms", value * 1000.0),
            Measure::RelayLag => format!("{value:.1} s"),
            Measure::SlotRetained => show_size(value),
            Measure::RowsDifferent => format!("{value:.0}"),
            Measure::Prometheus { .. } | Measure::Exec { .. } => format!("{value}"),
        }
    }

    /// As written in the plan, for people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Measure::ErrorRate => "gate.error_rate".to_owned(),
            Measure::LatencyP99 => "gate.latency_p99".to_owned(),
            Measure::RelayLag => "relay.lag".to_owned(),
            Measure::SlotRetained => "slot.retained".to_owned(),
            Measure::RowsDifferent => "verify.different".to_owned(),
            Measure::Prometheus { url, .. } => format!("the query at {url}"),
            Measure::Exec { argv, .. } => {
                format!("the command {}", argv.first().map_or("", String::as_str))
            }
        }
    }
}

impl Guard {
    /// What must be so, in words.
    #[must_use]
    pub fn rule(&self) -> String {
        let name = self.measure.name();
        let show = |value: f64| self.measure.show(value);
        match self.limit {
            Some(Limit::Below(value)) => format!("{name} below {}", show(value)),
            Some(Limit::AtMost(value)) => format!("{name} at most {}", show(value)),
            Some(Limit::Above(value)) => format!("{name} above {}", show(value)),
            Some(Limit::TimesSource(times)) => format!("{name} at most {times} times the source's"),
            None => format!("{name} exits with 0"),
        }
    }

    /// What happens when it is not, in words.
    #[must_use]
    pub fn consequence(&self) -> String {
        let word = match self.on_fail {
            Reaction::Rollback => "goes back",
            Reaction::Pause => "pauses",
            Reaction::Hold => "begins nothing until it is good again",
            Reaction::Abort => "is aborted",
            Reaction::Warn => return "it is said".to_owned(),
        };
        match self.for_ {
            Duration::ZERO => format!("the run {word}"),
            for_ => format!("after {} the run {word}", show_duration(for_)),
        }
    }

    /// What happens when it is not, once all steps are done, in words.
    #[must_use]
    pub fn consequence_after_done(&self, after_done: AfterDone) -> &'static str {
        match (self.on_fail, after_done) {
            (Reaction::Rollback, AfterDone::Rollback) => "an alarm, and the run goes back",
            _ => "an alarm, and nothing goes back by itself",
        }
    }
}
