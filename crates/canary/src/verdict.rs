//! The judgement, and its reasons in numbers.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stream::{Bad, StreamName};

/// The judgement at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Verdict {
    /// Not enough evidence yet, for either.
    NotYet {
        /// What is missing.
        waiting_for: String,
        /// When it would be there at the present rate; `None` if that cannot be told.
        #[serde(default)]
        left: Option<Duration>,
    },
    /// Proven to be harmless at this weight.
    Harmless {
        /// In numbers.
        figures: Figures,
    },
    /// It is worse: back.
    Worse {
        /// Why.
        alarm: Alarm,
    },
}

/// Why a canary ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The culprit.
    pub cause: Cause,
    /// What was seen at the weight at which it was found.
    pub figures: Figures,
}

/// What is wrong with the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Cause {
    /// A stream's evidence.
    Stream {
        /// Which.
        name: StreamName,
        /// Beyond this the source's requests are slow.
        limit_us: Option<f64>,
        /// Bad requests since the canary began.
        bad: Bad,
        /// How many of them would be on the target if it were as good.
        expected: f64,
        /// The evidence, and how much was asked for.
        wealth: f64,
        /// See [`crate::Rules::alarm_at`].
        alarm_at: f64,
    },
    /// A metric from outside.
    Outside {
        /// As the plan calls it.
        name: String,
        /// What was seen, in numbers.
        seen: String,
        /// The evidence, and how much was asked for.
        wealth: f64,
        /// See [`crate::Rules::outside_alarm_at`].
        alarm_at: f64,
    },
    /// The breaker opened: figures of five seconds.
    Breaker {
        /// Requests on the target.
        target: u64,
        /// Of them bad.
        target_bad: u64,
        /// Requests on the source.
        source: u64,
        /// Of them bad.
        source_bad: u64,
    },
    /// The plan's own limit.
    Objective {
        /// The objective's p99.
        limit_us: f64,
        /// Requests of the target beyond it.
        beyond: u64,
        /// Of so many.
        requests: u64,
    },
}

/// What was seen at the present weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The weight, in tenths of a per cent.
    pub target_permille: u16,
    /// Requests decided on the target.
    pub target_requests: u64,
    /// Of them bad.
    pub target_bad: u64,
    /// Of the bad ones, those without an answer when they were decided.
    #[serde(default)]
    pub target_late: u64,
    /// Requests decided on the source.
    pub source_requests: u64,
    /// Of them bad.
    pub source_bad: u64,
    /// Of the bad ones, those without an answer when they were decided.
    #[serde(default)]
    pub source_late: u64,
    /// The target's p99.
    pub target_p99_us: Option<f64>,
    /// The source's p99.
    pub source_p99_us: Option<f64>,
    /// The stream with the strongest evidence against the target, and its wealth.
    pub strongest: Option<(StreamName, f64)>,
    /// Streams that cannot be judged: the source had too few requests for such a quantile.
    pub unjudged: Vec<StreamName>,
    /// Requests of users for whom the gate had no room: left out.
    pub untracked: u64,
}

/// So many bad requests of the target, and how many of them had no answer in time.
#[must_use]
pub(crate) fn on_target(bad: u64, late: u64, requests: u64) -> String {
    format!("{bad} of {requests} requests on the target failed{}", of_them_late(late))
}

fn of_them_late(late: u64) -> String {
    match late {
        0 => String::new(),
        _ => format!(" ({late} of them late)"),
    }
}

/// What the bad requests of a stream are called.
#[must_use]
pub(crate) fn name(stream: StreamName) -> String {
    match stream {
        StreamName::Failures => "failures".to_owned(),
        StreamName::Slower { quantile } => {
            let percent = format!("{:.2}", quantile * 100.0);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            format!("requests slower than the source's p{percent}")
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(*self))
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Stream { name, limit_us, bad, expected, wealth, alarm_at } => {
                let limit = limit_us.map_or(String::new(), |us| {
                    format!(
                        " of {:.1} ms (the target had {:.1} ms)",
                        us / 1000.0,
                        us * 1.1 / 1000.0
                    )
                });
                write!(
                    f,
                    "{name}{limit}: {} of {} were on the target, where {expected:.1} would be if \
                     it were as good; {wealth:.0} to 1 against that (asked for: {alarm_at:.0})",
                    bad.target,
                    bad.target + bad.source,
                )?;
                match name {
                    StreamName::Failures => write!(f, "; at this share {}", self.figures),
                    StreamName::Slower { .. } => Ok(()),
                }
            }
            Cause::Outside { name, seen, wealth, alarm_at } => write!(
                f,
                "{name}, from outside: {seen}; {wealth:.0} to 1 against chance, if pairs would \
                 fall either way (asked for: {alarm_at:.0})"
            ),
            Cause::Breaker { target, target_bad, source, source_bad } => write!(
                f,
                "{target_bad} of {target} requests on the target failed within five seconds, \
                 {source_bad} of {source} on the source; at this share {}",
                self.figures
            ),
            Cause::Objective { limit_us, beyond, requests } => write!(
                f,
                "{beyond} of {requests} requests on the target took longer than the objective's \
                 p99 of {:.0} ms",
                limit_us / 1000.0
            ),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} of {} on the source{}",
            on_target(self.target_bad, self.target_late, self.target_requests),
            self.source_bad,
            self.source_requests,
            of_them_late(self.source_late)
        )?;
        if let (Some(target), Some(source)) = (self.target_p99_us, self.source_p99_us) {
            write!(f, "; p99 {:.1} ms against {:.1} ms", target / 1000.0, source / 1000.0)?;
        }
        if !self.unjudged.is_empty() {
            let names: Vec<String> = self.unjudged.iter().map(|stream| name(*stream)).collect();
            write!(f, "; too little traffic to judge {}", names.join(" and "))?;
        }
        if self.untracked > 0 {
            write!(f, "; {} requests of users beyond the gate's memory left out", self.untracked)?;
        }
        Ok(())
    }
}
