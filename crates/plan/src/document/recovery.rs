//! The way back from each step: exact commands, what is lost, how long it takes.

use serde::Serialize;

use crate::estimate::{Estimates, Span, show_span};
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
}

/// The way back from the step at `index` among the plan's steps.
pub(super) fn from(plan: &Plan, index: usize, estimates: &Estimates, file: &str) -> Recovery {
    let until_here = || plan.steps().take(index + 1).map(|placed| placed.step);
    if until_here().any(|step| matches!(step, Step::Finish)) {
        return Recovery {
            commands: Vec::new(),
            what: "no way back: the source no longer follows".to_owned(),
            loses: "going back to the source would lose what was written since".to_owned(),
            takes: "a new migration in the other direction".to_owned(),
        };
    }
    let cut_over = until_here().any(|step| matches!(step, Step::Cutover { .. }));
    let shifted = until_here().any(Step::moves);
    let rollback = format!("changeover rollback {file}");
    let abort = format!("changeover abort {file}");
    let measured = |span: Option<Span>, otherwise: &str| {
        span.map_or_else(
            || otherwise.to_owned(),
            |span| format!("{}, as measured", show_span(span)),
        )
    };
    if cut_over {
        return Recovery {
            commands: vec![rollback, abort],
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
        };
    }
    if shifted {
        let (commands, what) = if plan.moves_data() {
            let what = "all requests go back to the source at once; `abort` then removes everything \
                        that was made";
            (vec![rollback, abort], what)
        } else {
            (vec![rollback], "all requests go back to the source at once")
        };
        return Recovery {
            commands,
            what: what.to_owned(),
            loses: "nothing: all writes went to the source's database".to_owned(),
            takes: measured(
                estimates.rollback,
                "as long as the gate takes to obey; not measured yet",
            ),
        };
    }
    Recovery {
        commands: vec![abort],
        what: "slot, publication and what was copied are removed; the source is as before"
            .to_owned(),
        loses: "nothing: the source was never anything but the only one".to_owned(),
        takes: measured(estimates.abort, "not measured yet"),
    }
}
