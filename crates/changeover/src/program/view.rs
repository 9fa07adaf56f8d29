//! A program's status in words. Pure, so that what people see is tested.

use changeover_engine::protocol::{ComponentStatus, ProgramStatus, RunState};
use changeover_run::Mode;

use crate::view;

/// What is going on, in one line.
pub(super) fn activity(status: &ProgramStatus) -> String {
    let step = status.step.as_deref().unwrap_or("all steps done");
    let busy = status
        .components
        .iter()
        .filter(|it| it.state.as_ref().is_some_and(|state| !state.is_resting()));
    let busy: Vec<String> = busy
        .map(|it| {
            if let Some((_, reason, _)) = it.waits() {
                return format!("{} waits: {reason}", it.name);
            }
            let step = it.step.as_deref().unwrap_or("at its end");
            format!("{} {step}", it.name)
        })
        .collect();
    let state = view::state(&status.state);
    if busy.is_empty() {
        format!("{step}: {state}")
    } else {
        format!("{step}: {}", busy.join(", "))
    }
}

/// The program, and a table of its components.
pub(super) fn status(status: &ProgramStatus) -> String {
    let step = match &status.step {
        Some(step) => format!("{step} ({} of {} steps done)", status.steps_done, status.steps),
        None => format!("{} of {} steps done", status.steps_done, status.steps),
    };
    let mut rows = vec![
        ("program", format!("{} (run {})", status.name, status.run_id)),
        ("state", view::state(&status.state)),
        ("step", step),
    ];
    rows.extend(view::next_command(&status.state).map(|next| ("next", next)));
    format!("{}\n\n{}", view::lines(&rows), table(&status.components))
}

fn table(components: &[ComponentStatus]) -> String {
    let head = ["component", "state", "step", "authority", "requests", "behind"];
    let mut rows: Vec<[String; 6]> = vec![head.map(str::to_owned)];
    rows.extend(components.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..6).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut text = rows.iter().map(line).collect::<Vec<_>>().join("\n");
    for component in components {
        if let Some(why) = &component.unreachable {
            text += &format!("\n{}: cannot be asked: {why}", component.name);
        }
        if let Some(RunState::Paused { reason, next_command }) = &component.state {
            text += &format!("\n{}: {reason} — {next_command}", component.name);
        }
        if let Some(RunState::Done { alarms }) = &component.state
            && !alarms.is_empty()
        {
            text += &format!("\n{}: ALARM: {}", component.name, alarms.join("; "));
        }
        if let Some((_, reason, next)) = component.waits() {
            text += &format!("\n{}: {reason} — {next}", component.name);
        }
    }
    text
}

fn row(component: &ComponentStatus) -> [String; 6] {
    let state = match (&component.state, &component.unreachable) {
        (_, Some(_)) => "unknown".to_owned(),
        (Some(state), None) => state.word().to_owned(),
        (None, None) if component.order.is_some() => "unknown".to_owned(),
        (None, None) => "not begun".to_owned(),
    };
    let counted = format!("{}/{}", component.steps_done, component.steps);
    let step = match &component.step {
        Some(step) => format!("{counted} {step}"),
        None => counted,
    };
    [
        component.name.clone(),
        state,
        step,
        component.authority.to_string(),
        view::share(component.target_permille),
        component.lag_bytes.map_or_else(|| "-".to_owned(), view::bytes),
    ]
}

/// What a program is about, in one or two words.
pub(super) fn mode(mode: &Mode) -> &'static str {
    match mode {
        Mode::Forward => "running",
        Mode::Done => "done",
        Mode::RollingBack { .. } => "rolling back",
        Mode::RolledBack { .. } => "rolled back",
        Mode::Aborting => "aborting",
        Mode::Aborted => "aborted",
        Mode::Finishing => "finishing",
        Mode::Finished => "finished",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use changeover_engine::protocol::WaitsFor;
    use changeover_types::Side;

    fn component(name: &str, state: Option<RunState>) -> ComponentStatus {
        ComponentStatus {
            name: name.to_owned(),
            migration: name.to_owned(),
            state,
            order: None,
            step: None,
            steps_done: 0,
            steps: 4,
            authority: Side::Source,
            target_permille: 0,
            lag_bytes: None,
            unreachable: None,
            approval: None,
        }
    }

    #[test]
    fn a_program_is_a_table_of_its_components() {
        let users = ComponentStatus {
            steps_done: 4,
            authority: Side::Target,
            target_permille: 1000,
            lag_bytes: Some(8_400),
            ..component(
                "users",
                Some(RunState::Done { alarms: vec!["guard lag: 40 s".to_owned()] }),
            )
        };
        let orders = ComponentStatus {
            steps_done: 2,
            step: Some("canary/canary".to_owned()),
            target_permille: 55,
            lag_bytes: Some(12),
            ..component("orders", Some(RunState::Running))
        };
        let lost = ComponentStatus {
            order: Some("rest".to_owned()),
            unreachable: Some("the daemon does not come up".to_owned()),
            ..component("lost", None)
        };
        let waits = ComponentStatus {
            steps_done: 1,
            step: Some("all/shift".to_owned()),
            ..component(
                "billing",
                Some(RunState::Waiting {
                    waits_for: WaitsFor::Approval,
                    reason: "all/shift waits for 1 more of alice until noon".to_owned(),
                    next_command: "changeover approve --as NAME".to_owned(),
                }),
            )
        };
        let program = ProgramStatus {
            name: "shop".to_owned(),
            run_id: "0123456789abcdef".to_owned(),
            digest: String::new(),
            pid: 7,
            last_event: 0,
            state: RunState::Running,
            phase: Some("switch".to_owned()),
            step: Some("switch/move-2".to_owned()),
            steps_done: 2,
            steps: 4,
            approval: None,
            components: vec![users, orders, waits, component("web", None), lost],
        };
        insta::assert_snapshot!(format!("{}\n\n{}", status(&program), activity(&program)));
    }
}
