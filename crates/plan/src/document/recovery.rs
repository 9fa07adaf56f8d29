//! The way back from each step: exact commands, what is lost, how long it takes.

use serde::Serialize;

use crate::estimate::{Earlier, Estimates, Measures, Span, rounded, show_span};
use crate::model::{Plan, Step};

/// The way back from a step, also when it is only half done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// In order; empty if there is no way back.
    pub commands: Vec<String>,
    /// What they do.
    pub what: String,
    /// What is lost.
    pub loses: String,
    /// How long it takes.
    pub takes: String,
    /// What the newest rehearsal found at this boundary; `None` without a rehearsal.
    pub rehearsed: Option<String>,
}

impl Recovery {
    /// How long it takes, and what a rehearsal found.
    #[must_use]
    pub fn takes_and_rehearsed(&self) -> String {
        match &self.rehearsed {
            Some(rehearsed) => format!("{}; {rehearsed}", self.takes),
            None => self.takes.clone(),
        }
    }
}

/// The verbs that lead back from the step at `index` among the plan's steps, also when it is only
/// half done, in order; none behind `finish`.
#[must_use]
pub fn way_back(plan: &Plan, index: usize) -> &'static [&'static str] {
    let until_here = || plan.steps().take(index + 1).map(|placed| placed.step);
    if until_here().any(|step| matches!(step, Step::Finish)) {
        &[]
    } else if !until_here().any(Step::moves) {
        &["abort"]
    } else if plan.moves_data() {
        &["rollback", "abort"]
    } else {
        &["rollback"]
    }
}

/// In words, what the newest rehearsal found behind the step with this path.
fn rehearsed(plan: &Plan, path: &str, measures: &Measures) -> Option<String> {
    let is_rehearsal = |it: &&Earlier| !it.boundaries.is_empty();
    let newest = measures.earlier.iter().rfind(is_rehearsal)?;
    let on = newest.origin.strip_prefix("rehearsal of ").unwrap_or(&newest.origin);
    let stale = if newest.digest == plan.digest { "" } else { " (the plan has changed since)" };
    let Some(found) = newest.boundaries.iter().find(|it| it.step == path) else {
        let left_out = newest.left_out.iter().find(|it| it.what == path)?;
        return Some(format!("not rehearsed on {on}: {}{stale}", left_out.why));
    };
    let (back, again) = (rounded(found.back_ms), rounded(found.again_ms));
    let abort = newest.abort_ms.map(|ms| format!("; `abort` took {}", rounded(ms)));
    let words = if found.moved {
        format!("rehearsed on {on}, took {back}, there again in {again}")
    } else if found.said == ["abort"] {
        format!("rehearsed on {on}: nothing had moved{}", abort.unwrap_or_default())
    } else {
        format!("not rehearsed on {on}: what moved by then are requests, which a rehearsal has not")
    };
    Some(words + stale)
}

/// The way back from the step at `index` among the plan's steps.
pub(super) fn from(
    plan: &Plan,
    index: usize,
    (estimates, measures): (&Estimates, &Measures),
    file: &str,
) -> Recovery {
    let verbs = way_back(plan, index);
    let commands = verbs.iter().map(|verb| format!("changeover {verb} {file}")).collect();
    let path = plan.steps().nth(index).map(|placed| placed.path);
    let rehearsed = path.and_then(|path| rehearsed(plan, &path, measures));
    if verbs.is_empty() {
        return Recovery {
            commands,
            what: "no way back: the source no longer follows".to_owned(),
            loses: "going back to the source would lose what was written since".to_owned(),
            takes: "a new migration in the other direction".to_owned(),
            rehearsed,
        };
    }
    let mut until_here = plan.steps().take(index + 1).map(|placed| placed.step);
    let cut_over = until_here.any(|step| matches!(step, Step::Cutover { .. }));
    let measured = |span: Option<Span>, otherwise: &str| {
        span.map_or_else(
            || otherwise.to_owned(),
            |span| format!("{}, as measured", show_span(span)),
        )
    };
    if cut_over {
        return Recovery {
            commands,
            what:
                "weights first, then authority, by the same protocol in the other direction; the \
                   target stays sealed and follows, so a new try needs no new copy. `abort` then \
                   removes everything that was made"
                    .to_owned(),
            loses: "nothing: the source has followed every write".to_owned(),
            takes: measured(
                estimates.rollback,
                "one write pause for each attempt; not measured yet",
            ),
            rehearsed,
        };
    }
    if verbs.contains(&"rollback") {
        let what = if plan.moves_data() {
            "all requests go back to the source at once; `abort` then removes everything that was made"
        } else {
            "all requests go back to the source at once"
        };
        return Recovery {
            commands,
            what: what.to_owned(),
            loses: "nothing: all writes went to the source's database".to_owned(),
            takes: measured(
                estimates.rollback,
                "as long as the gate takes to obey; not measured yet",
            ),
            rehearsed,
        };
    }
    Recovery {
        commands,
        what: "slot, publication and what was copied are removed; the source is as before"
            .to_owned(),
        loses: "nothing: the source was never anything but the only one".to_owned(),
        takes: measured(estimates.abort, "not measured yet"),
        rehearsed,
    }
}
