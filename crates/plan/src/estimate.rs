//! How long a plan takes: arithmetic over what was measured. What was not measured is unknown and
//! stays so; nothing is guessed in its place.
//!
//! A [`Span`] has a least, a likely and a most; no most means that nobody can say. A step whose time
//! depends on something unmeasured, or on a person, has no span: sums name it instead of counting
//! it as nothing.

mod copy;
mod span;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::checks::{Load, Traffic};
use crate::model::{Plan, Step};
use crate::outside::WhenStuck;
use crate::rehearsal::{Boundary, LeftOut};
use crate::units::show_duration;
pub(crate) use copy::size;
pub(crate) use span::rounded;
pub use span::{Span, show_span};

/// What is known before a plan is carried out. Everything may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measures {
    /// Bytes of the rows that move, on disk.
    pub bytes: Option<u64>,
    /// Bytes of the largest table among them: one table is copied by one session.
    pub largest_table_bytes: Option<u64>,
    /// Bytes of their indexes.
    pub index_bytes: Option<u64>,
    /// Bytes that one session reads in a second on the source, from a sample of the largest tables.
    pub read_bytes_per_s: Option<u64>,
    /// Bytes that one session writes in a second on the target, into a temporary table.
    pub write_bytes_per_s: Option<u64>,
    /// Bytes of log that the source's server writes in a second.
    pub change_bytes_per_s: Option<u64>,
    /// The fastest answer of the source and of the target, in microseconds.
    pub answer_us: Option<(u64, u64)>,
    /// What earlier runs and rehearsals of this migration took, newest last.
    pub earlier: Vec<Earlier>,
    /// What could not be measured, and why.
    pub unknown: Vec<String>,
}

/// What an earlier run or rehearsal took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Earlier {
    /// `run` or `rehearsal`, and when.
    pub origin: String,
    /// Bytes of the rows that moved then.
    pub bytes: Option<u64>,
    /// Milliseconds that each step took, by its path.
    pub steps: BTreeMap<String, u64>,
    /// The longest time between two writes that were acknowledged around the cutover.
    pub write_pause_ms: Option<u64>,
    /// Milliseconds that the way back took.
    pub rollback_ms: Option<u64>,
    /// Milliseconds that removing everything took.
    pub abort_ms: Option<u64>,
    /// The digest of the plan that was rehearsed.
    pub digest: String,
    /// The way back from behind each step, in a rehearsal.
    pub boundaries: Vec<Boundary>,
    /// What a rehearsal left out.
    pub left_out: Vec<LeftOut>,
}

/// How long a step takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepEstimate {
    /// As [`crate::PlacedStep::path`].
    pub path: String,
    /// `None` if it is not known.
    pub span: Option<Span>,
    /// What it was computed from.
    pub basis: String,
}

/// The end of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Milestone {
    /// The phase.
    pub phase: String,
    /// From the phase's begin to its end, as far as it is known.
    pub span: Span,
    /// From the run's begin to the phase's end, as far as it is known.
    pub reached: Span,
    /// What of the time up to here is not known.
    pub without: Vec<String>,
}

/// How long everything takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Estimates {
    /// In the plan's order.
    pub steps: Vec<StepEstimate>,
    /// In the plan's order.
    pub milestones: Vec<Milestone>,
    /// `rollback` after the cutover.
    pub rollback: Option<Span>,
    /// `abort` before it.
    pub abort: Option<Span>,
}

impl Estimates {
    /// The run from its begin to its last milestone, as far as it is known.
    #[must_use]
    pub fn whole(&self) -> Span {
        self.milestones.last().map_or(Span::exactly(0), |last| last.reached)
    }

    /// What of the run's time is not known.
    #[must_use]
    pub fn without(&self) -> &[String] {
        self.milestones.last().map_or(&[], |last| &last.without)
    }
}

/// Estimates every step, and sums them up by phase.
#[must_use]
pub fn estimate(plan: &Plan, measures: &Measures) -> Estimates {
    let mut estimates = Estimates::default();
    let mut reached = Span::exactly(0);
    let mut without: Vec<String> = Vec::new();
    for (number, phase) in plan.phases.iter().enumerate() {
        let mut span = Span::exactly(0);
        for placed in plan.steps().filter(|placed| placed.phase == number) {
            let (estimated, basis) = step(plan, placed.step, &placed.path, measures);
            match estimated {
                Some(more) => span = span.then(more),
                None => {
                    span = span.and_unknown();
                    without.push(placed.path.clone());
                }
            }
            estimates.steps.push(StepEstimate { path: placed.path, span: estimated, basis });
        }
        reached = reached.then(span);
        let (phase, without) = (phase.name.clone(), without.clone());
        estimates.milestones.push(Milestone { phase, span, reached, without });
    }
    let taken = |of: fn(&Earlier) -> Option<u64>| {
        Span::of_measured(&measures.earlier.iter().filter_map(of).collect::<Vec<_>>())
    };
    estimates.rollback = taken(|earlier| earlier.rollback_ms);
    estimates.abort = taken(|earlier| earlier.abort_ms);
    estimates
}

fn step(plan: &Plan, step: &Step, path: &str, measures: &Measures) -> (Option<Span>, String) {
    match step {
        Step::Replicate => copy::replicate(path, plan.data.copy_jobs, measures),
        Step::Verify => copy::verify(path, measures),
        Step::BlueGreen(switch) => {
            (Some(Span::exactly(millis(switch.watch))), "declared in the plan".to_owned())
        }
        Step::Phased(phased) => {
            let all = millis(phased.each).saturating_mul(phased.routes.len() as u64);
            (Some(Span::exactly(all)), "declared in the plan".to_owned())
        }
        Step::Canary(canary) => {
            let weights = canary.weights.len();
            let least = millis(canary.at_least).saturating_mul(weights as u64);
            let basis = format!(
                "{} at each of {weights} weights; longer while requests or evidence are too few",
                show_duration(canary.at_least),
            );
            // Another end than going back leaves it where it is.
            let ends = canary.on_timeout == WhenStuck::Rollback;
            let most_ms = canary.within.filter(|_| ends).map(millis);
            (Some(Span { least_ms: least, likely_ms: least, most_ms }), basis)
        }
        Step::Cutover { attempts, retry_after } => {
            cutover(path, millis(plan.objectives.write_pause), *attempts, *retry_after, measures)
        }
        Step::Soak { for_ } => {
            (Some(Span::exactly(millis(*for_))), "declared in the plan".to_owned())
        }
        Step::Load(Load { traffic: Traffic::Requests { profile, .. }, within, .. }) => {
            let lasts = millis(profile.iter().map(|part| part.lasts).sum());
            let most_ms = Some(lasts.saturating_add(millis(*within)));
            let span = Span { least_ms: lasts, likely_ms: lasts, most_ms };
            (Some(span), "declared in the plan".to_owned())
        }
        Step::Mirror(mirror) => {
            (Some(Span::exactly(millis(mirror.lasts))), "declared in the plan".to_owned())
        }
        Step::Finish => (None, "waits for `changeover finish`".to_owned()),
        Step::Shift { .. } | Step::Smoke(_) | Step::Load(_) | Step::Run { .. } => {
            measured_or_unknown(path, measures)
        }
    }
}

/// A step whose time only an earlier one tells.
fn measured_or_unknown(path: &str, measures: &Measures) -> (Option<Span>, String) {
    match earlier(path, measures) {
        Some((span, basis)) => (Some(span), basis),
        None => (None, "never measured; `changeover rehearse` or a run does that".to_owned()),
    }
}

fn cutover(
    path: &str,
    write_pause_ms: u64,
    attempts: u32,
    retry_after: std::time::Duration,
    measures: &Measures,
) -> (Option<Span>, String) {
    let one = write_pause_ms.saturating_add(millis(retry_after));
    let attempts_ms = one.saturating_mul(u64::from(attempts));
    match earlier(path, measures) {
        Some((span, basis)) => {
            let most_ms = span.most_ms.map(|most| most.max(attempts_ms));
            (Some(Span { most_ms, ..span }), basis)
        }
        None => {
            let basis = format!(
                "at most {attempts} attempts of {write_pause_ms} ms of pause, {} apart; before them \
                 the way back is prepared, which waits for transactions that are open then",
                show_duration(retry_after)
            );
            (Some(Span { least_ms: 0, likely_ms: write_pause_ms, most_ms: None }), basis)
        }
    }
}

/// What earlier runs of this step took.
fn earlier(path: &str, measures: &Measures) -> Option<(Span, String)> {
    let took: Vec<u64> =
        measures.earlier.iter().filter_map(|earlier| earlier.steps.get(path).copied()).collect();
    let span = Span::of_measured(&took)?;
    Some((span, measured_basis(path, measures)))
}

fn measured_basis(path: &str, measures: &Measures) -> String {
    let with = measures.earlier.iter().filter(|earlier| earlier.steps.contains_key(path));
    let origins: Vec<&str> = with.map(|earlier| earlier.origin.as_str()).collect();
    match origins.as_slice() {
        [only] => format!("measured by the {only}"),
        [.., last] => format!("measured {} times, last by the {last}", origins.len()),
        [] => String::new(),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
