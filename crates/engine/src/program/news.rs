//! A program's events in words.

use changeover_run::program::{Event, Order};
use serde_json::Value;

use crate::board::news::{Told, told as of_run};
use crate::protocol::EventKind;

/// What a person is told of an event; nothing of those that only keep the books.
pub(super) fn told(event: &Event) -> Option<Told> {
    let said = |kind, text: String| Some((kind, text, Value::Null));
    let plain = |kind, text: &str| said(kind, text.to_owned());
    match event {
        Event::Condition { event } => of_run(event),
        Event::StepBegun { .. } => plain(EventKind::StepStarted, "the step begins"),
        Event::StepDone => plain(EventKind::StepFinished, "the step is done"),
        Event::Bounded { until: Some(bound) } => said(
            EventKind::Progress,
            format!("the program is to rest at the end of its phase {}", bound.phase),
        ),
        Event::Bounded { until: None } => {
            plain(EventKind::Progress, "the program is to go on to its end")
        }
        Event::ProgramDone { .. } => plain(
            EventKind::Ended,
            "all steps are done; all ways back are open until `changeover finish`",
        ),
        Event::Ordered { component, order } => {
            said(EventKind::Progress, format!("[{component}] {}", order_told(order)))
        }
        Event::Told { .. } | Event::Seen { .. } => None,
        Event::Paused { pause } => {
            said(EventKind::Paused, format!("{} — go on with `{}`", pause.why, pause.next))
        }
        Event::Resumed => plain(EventKind::Resumed, "the program goes on"),
        Event::RollbackBegun { why, by_itself } => {
            let word = if *by_itself { "by itself" } else { "as asked" };
            said(EventKind::Warning, format!("everything goes back to the source, {word}: {why}"))
        }
        Event::RolledBack => plain(
            EventKind::Ended,
            "everything is on the source again; what was copied stays and follows",
        ),
        Event::TriedAgain => plain(EventKind::Resumed, "the program is tried again"),
        Event::AbortBegun => plain(EventKind::Progress, "everything of every component is removed"),
        Event::Aborted => plain(EventKind::Ended, "aborted: everything is removed"),
        Event::FinishBegun => plain(EventKind::Progress, "all ways back are being ended"),
        Event::Finished => plain(EventKind::Ended, "finished: all ways back are closed"),
    }
}

fn order_told(order: &Order) -> String {
    match order {
        Order::Advance { steps, moves: false } => {
            format!("is to go on to the end of its step {steps}, moving nothing")
        }
        Order::Advance { steps, moves: true } => {
            format!("is to move, to the end of its step {steps}")
        }
        Order::Halt => "is to rest after its present step".to_owned(),
        Order::RollBack { .. } => "is to go back to the source".to_owned(),
        Order::Abort => "is to be removed".to_owned(),
        Order::Finish => "is to end its way back".to_owned(),
    }
}
