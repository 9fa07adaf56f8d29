//! The journal's events in words.

use changeover_cutover as cutover;
use changeover_plan::{Unmovable, show_instant};
use changeover_run::{Consequence, Event, Who};
use serde_json::{Value, json};

use crate::protocol::EventKind;

pub(crate) type Told = (EventKind, String, Value);

/// What a person is told of an event; nothing of those that only keep the books.
pub(crate) fn told(event: &Event) -> Option<Told> {
    let plain = |kind, text: &str| Some((kind, text.to_owned(), Value::Null));
    match event {
        Event::StepBegun { .. } => plain(EventKind::StepStarted, "the step begins"),
        Event::StepDone => plain(EventKind::StepFinished, "the step is done"),
        Event::PlanDone { .. } => plain(
            EventKind::Ended,
            "all steps are done; until `changeover finish` the way back is open and the guards are \
             looked at",
        ),
        Event::Installed { .. } => {
            plain(EventKind::Progress, "our schema, genesis row and publication are in place")
        }
        Event::CopyBegun => plain(EventKind::Progress, "the copy begins"),
        Event::CopyLost => plain(
            EventKind::Warning,
            "the copy broke off: its rows are removed before it starts again, from a new snapshot",
        ),
        Event::CopyUndone => plain(EventKind::Progress, "the lost copy is removed"),
        Event::Copied { rows, bytes, took_ms, .. } => Some((
            EventKind::Progress,
            format!("{rows} rows copied in {:.1} s", *took_ms as f64 / 1000.0),
            json!({"rows": rows, "bytes": bytes, "took_ms": took_ms}),
        )),
        Event::Built { .. } => plain(EventKind::Progress, "indexes and constraints are in place"),
        Event::TasksLeft { tasks } if tasks.is_empty() => {
            plain(EventKind::Progress, "nothing is left to do on the target")
        }
        Event::TasksLeft { tasks } => {
            let each: Vec<String> = tasks.iter().map(ToString::to_string).collect();
            let text = format!(
                "left to do on the target, no row depends on it and it is tried again before the \
                 cutover: {}",
                each.join(" | ")
            );
            Some((EventKind::Warning, text, json!({"tasks": tasks})))
        }
        Event::CaughtUp => plain(EventKind::Progress, "the target has caught up with the source"),
        Event::ReverseReady => plain(EventKind::Progress, "the way back is live"),
        Event::Verified { rows, different } => Some((
            if *different == 0 { EventKind::Progress } else { EventKind::Warning },
            format!("{rows} rows compared, {different} differ"),
            json!({"rows": rows, "different": different}),
        )),
        Event::Proven { rows: Some(rows), different, .. } => Some((
            if *different == 0 { EventKind::Progress } else { EventKind::Warning },
            format!("proof of the cutover: {rows} rows compared at the seal, {different} differ"),
            json!({"rows": rows, "different": different}),
        )),
        Event::Proven { rows: None, .. } => plain(
            EventKind::Warning,
            "the proof snapshots of the change of authority were lost; both sides are compared as they \
             are instead, once all steps are done",
        ),
        Event::Checked { report } if report.passed() => Some((
            EventKind::Progress,
            format!("{}, in {:.1} s", report.summary, report.took_ms as f64 / 1000.0),
            json!({"check": report}),
        )),
        Event::Checked { report } => Some((
            EventKind::Warning,
            format!("failed: {}", report.summary),
            json!({"check": report}),
        )),
        Event::WeightSet { target_permille, route, .. } => {
            let share = f64::from(*target_permille) / 10.0;
            let (of, data) = match route {
                Some(route) => {
                    let data = json!({"target_permille": target_permille, "route": route});
                    (format!(" of route {route}"), data)
                }
                None => (String::new(), json!({"target_permille": target_permille})),
            };
            let text = format!("{share:.1} % of the requests{of} go to the target");
            Some((EventKind::Progress, text, data))
        }
        Event::Watched { .. } | Event::OutsideAsked { .. } => None,
        Event::WeightPassed { why } => Some((
            EventKind::Progress,
            format!("the canary does well at this share: {why}"),
            Value::Null,
        )),
        Event::CanaryLimited { until } => Some((
            EventKind::Progress,
            format!("the canary is to be through by {}", show_instant(*until)),
            json!({"until": until}),
        )),
        Event::CanaryLate { why, .. } => Some((EventKind::Warning, why.clone(), Value::Null)),
        Event::SwitchPassed { why } => {
            Some((EventKind::Progress, format!("the target does well: {why}"), Value::Null))
        }
        Event::RoutePassed { route, why } => {
            let text = format!("route {route} does well on the target: {why}");
            Some((EventKind::Progress, text, json!({"route": route})))
        }
        Event::AttemptPutOff { until: Some(_) } => {
            plain(EventKind::Progress, "the cutover is tried again in a moment")
        }
        Event::AttemptPutOff { until: None } => None,
        Event::Cutover { event } => told_of_cutover(event),
        Event::Paused { pause } => Some((
            EventKind::Paused,
            match &pause.by {
                Some(who) => format!("{who}: {} — go on with `{}`", pause.why, pause.next),
                None => format!("{} — go on with `{}`", pause.why, pause.next),
            },
            json!({"by": pause.by}),
        )),
        Event::Bounded { until: Some(bound) } => Some((
            EventKind::Progress,
            format!("the run is to rest after {} steps, in phase {}", bound.steps, bound.phase),
            json!({"phase": bound.phase}),
        )),
        Event::Bounded { until: None } => plain(EventKind::Progress, "the run goes on to its end"),
        Event::Resumed { by } => {
            Some((EventKind::Resumed, format!("the run goes on{}", said_by(by)), json!({"by": by})))
        }
        Event::RollbackBegun { why, automatic, by } => Some((
            EventKind::Progress,
            format!("going back to the source{}: {why}", said_by(by)),
            json!({"automatic": automatic, "by": by}),
        )),
        Event::PlanChanged { what, by, .. } => Some((
            EventKind::Progress,
            format!("the plan has changed{}: {}", said_by(by), what.join("; ")),
            json!({"what": what, "by": by}),
        )),
        Event::UnmovableSet { unmovable, by } => {
            let text = match unmovable {
                Unmovable::Wait => "sessions whose state cannot move are waited for",
                Unmovable::Terminate => {
                    "sessions whose state cannot move are ended when authority has moved"
                }
            };
            let text = format!("{text}{}", said_by(by));
            Some((EventKind::Progress, text, json!({"unmovable": unmovable, "by": by})))
        }
        Event::RollbackGivenUp { by, .. } => Some((
            EventKind::Resumed,
            format!("the rollback is given up, and the target keeps authority{}", said_by(by)),
            json!({"by": by}),
        )),
        Event::RolledBack => plain(
            EventKind::Ended,
            "the source has everything again; what was copied stays and follows",
        ),
        Event::TriedAgain { by, .. } => {
            let text = format!("the plan is tried again{}", said_by(by));
            Some((EventKind::Resumed, text, json!({"by": by})))
        }
        Event::AbortBegun { by, why } => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let text = format!("removing everything of ours{}{why}", said_by(by));
            Some((EventKind::Progress, text, json!({"by": by})))
        }
        Event::Aborted => plain(EventKind::Ended, "aborted: everything of ours is removed"),
        Event::FinishBegun { by } => {
            let text = format!("ending the way back{}", said_by(by));
            Some((EventKind::Progress, text, json!({"by": by})))
        }
        Event::Finished => plain(EventKind::Ended, "finished: the way back is closed"),
        condition => told_of_condition(condition),
    }
}

fn said_by(by: &Option<Who>) -> String {
    by.as_ref().map(|who| format!(", says {who}")).unwrap_or_default()
}

/// What people, clocks and guards said.
fn told_of_condition(event: &Event) -> Option<Told> {
    let plain = |kind, text: String| Some((kind, text, Value::Null));
    match event {
        Event::WayBackChecked { against } if against.is_empty() => {
            plain(EventKind::Progress, "the source can take it back".into())
        }
        Event::WayBackChecked { against } => Some((
            EventKind::Warning,
            format!("going back because somebody says so, although {}", against.join("; ")),
            json!({"against": against}),
        )),
        Event::StepSkipped { who, why, .. } => Some((
            EventKind::Warning,
            format!("left out, says {who}: {why}"),
            json!({"skipped": true, "by": who, "why": why}),
        )),
        Event::WindowFound { opens, closes, .. } => Some((
            EventKind::Progress,
            format!("the window is {} to {}", show_instant(*opens), show_instant(*closes)),
            json!({"opens": opens, "closes": closes}),
        )),
        Event::WindowReached => plain(EventKind::Progress, "the window is open".into()),
        Event::WindowClosed => {
            plain(EventKind::Warning, "the window has closed; the next one is waited for".into())
        }
        Event::WindowSkipped { who, why } => Some((
            EventKind::Warning,
            format!("the window is not waited for, says {who}: {why}"),
            json!({"by": who, "why": why}),
        )),
        Event::ApprovalAsked { needed, from, expires, facts, .. } => Some((
            EventKind::Approval,
            format!(
                "waiting for {needed} of {} until {} — `changeover approve --as NAME`",
                from.join(", "),
                show_instant(*expires)
            ),
            json!({"needed": needed, "from": from, "expires": expires, "facts": facts}),
        )),
        Event::Approved { who, facts, .. } => Some((
            EventKind::Approval,
            format!("approved by {who}"),
            json!({"by": who, "facts": facts}),
        )),
        Event::ApprovalRejected { who, why } => Some((
            EventKind::Approval,
            format!("rejected by {who}: {why}"),
            json!({"by": who, "why": why}),
        )),
        Event::ApprovalVoid { why } => plain(
            EventKind::Approval,
            format!("the approval is void: {why}; it is asked for again"),
        ),
        Event::ApprovalExpired => {
            plain(EventKind::Approval, "the time for the approval is over".into())
        }
        Event::DeadlineReached { .. } => {
            plain(EventKind::Warning, "the plan's deadline has come".into())
        }
        Event::GuardActed { guard, why, consequence } => Some((
            EventKind::Guard,
            match consequence {
                Consequence::Held => {
                    format!("guard {guard}: {why}; nothing is begun until it is good again")
                }
                Consequence::Alarmed => format!(
                    "ALARM, guard {guard}: {why}; nothing goes back by itself: changeover rollback \
                     does"
                ),
                _ => format!("guard {guard}: {why}"),
            },
            json!({"guard": guard, "why": why, "consequence": consequence}),
        )),
        _ => None,
    }
}

fn told_of_cutover(event: &cutover::Event) -> Option<Told> {
    let plain = |kind, text: String| Some((kind, text, Value::Null));
    match event {
        cutover::Event::AttemptBegun { epoch, from, .. } => plain(
            EventKind::Progress,
            format!("authority is to move from {from} to {} in epoch {epoch}", from.other()),
        ),
        cutover::Event::Rehearsed { .. } => {
            plain(EventKind::Progress, "rehearsed; the gates hold new work".to_owned())
        }
        cutover::Event::CalledOff { why } => plain(
            EventKind::CalledOff,
            format!("the cutover is called off, nothing has changed: {why}"),
        ),
        cutover::Event::GoingBack { why } => plain(
            EventKind::CalledOff,
            format!("the seal is taken back, authority stays where it was: {why}"),
        ),
        cutover::Event::Sealed { .. } => plain(EventKind::Progress, "sealed".to_owned()),
        cutover::Event::Granted => plain(EventKind::AuthorityMoved, "authority has moved".into()),
        cutover::Event::Flipped => {
            plain(EventKind::Progress, "the gates are routed and released".to_owned())
        }
        cutover::Event::Held
        | cutover::Event::Leased
        | cutover::Event::Drained
        | cutover::Event::SealIntended { .. }
        | cutover::Event::SealInDoubt
        | cutover::Event::GrantIntended
        | cutover::Event::GrantInDoubt
        | cutover::Event::Released
        | cutover::Event::Burnt
        | cutover::Event::BurnWaived
        | cutover::Event::Unsealed
        | cutover::Event::Returned => None,
    }
}
