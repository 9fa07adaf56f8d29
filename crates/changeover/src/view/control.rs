//! What people, clocks and guards have said, in words.

use changeover_engine::protocol::{ControlStatus, GuardStatus, ObjectiveStatus};
use changeover_run::Standing;
use changeover_types::Side;

use super::instant;

/// The rows of the table that are about conditions.
pub(super) fn add(
    add: &mut impl FnMut(&'static str, Option<String>),
    control: &ControlStatus,
    authority: Side,
) {
    if let Some(asked) = &control.approval {
        let given = match asked.given.as_slice() {
            [] => String::new(),
            given => format!(" ({} said yes)", given.join(", ")),
        };
        let text = format!(
            "{} needs {} of {}{given}, until {}",
            asked.step,
            asked.needed,
            asked.from.join(", "),
            instant(asked.expires)
        );
        add("approval", Some(text));
    }
    if let Some(window) = &control.window {
        let text = format!("opens {}, closes {}", instant(window.opens), instant(window.closes));
        add("window", Some(text));
    }
    if !control.unmovable.is_empty() {
        let verb = if authority == Side::Target { "rollback" } else { "cutover" };
        let names = control.unmovable.join("; ");
        add("cannot move", Some(format!("would block a {verb}, unless they are ended: {names}")));
    }
    if !control.plan_changes.is_empty() {
        add("plan changed", Some(control.plan_changes.join("; ")));
    }
    for guard in &control.guards {
        add("guard", Some(show_guard(guard)));
    }
    for objective in control.objectives.iter().filter(|objective| objective.met.is_some()) {
        add("objective", Some(show_objective(objective)));
    }
    for task in &control.tasks {
        add("to do", Some(format!("on the target, {task}")));
    }
}

fn show_objective(objective: &ObjectiveStatus) -> String {
    let ObjectiveStatus { name, asked, seen, met } = objective;
    let seen = seen.as_deref().unwrap_or("not seen");
    let met = if *met == Some(true) { "met" } else { "MISSED" };
    format!("{name} {met}: {seen}, asked for {asked}")
}

fn show_guard(guard: &GuardStatus) -> String {
    let is = match guard.is {
        None => "not looked at yet",
        Some(Standing::Good) => "good",
        Some(Standing::Bad) => "BAD",
        Some(Standing::NoData) => "no data",
    };
    let holds = if guard.holds { "; nothing is begun until it is good" } else { "" };
    let seen = if guard.seen.is_empty() { String::new() } else { format!(": {}", guard.seen) };
    format!("{} {is}{seen}{holds}", guard.name)
}
