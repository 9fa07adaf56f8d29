//! A run's status in words. Pure, so that what people see is tested.

use changeover_engine::protocol::{
    CanaryStatus, CopyStatus, OutsideStatus, RelayStatus, RunState, RunStatus, VerifyStatus,
};
use changeover_plan::{StepKind, show_instant};
use changeover_run::ProofStage;
use changeover_types::WallMs;
use jiff::Timestamp;

mod control;
mod routes;

pub(crate) use routes::journalled_shares;

/// The time of day in UTC, to the second.
pub(crate) fn clock(at: WallMs) -> String {
    let text = instant(at);
    text.get(11..19).map_or(text.clone(), |time| format!("{time}Z"))
}

/// Date and time in UTC, to the millisecond.
pub(crate) fn instant(at: WallMs) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| at.0.to_string(), |time| format!("{time:.3}"))
}

/// What is going on, in one line.
pub(crate) fn activity(status: &RunStatus) -> String {
    let step = status.step.as_deref().unwrap_or("all steps done");
    let detail = match &status.state {
        RunState::Paused { reason, .. }
        | RunState::Waiting { reason, .. }
        | RunState::Failed { reason, .. } => {
            return format!("{}: {reason}", status.state.word());
        }
        RunState::Running => step_detail(status),
        _ => status.cutover.as_ref().and_then(|it| it.last_called_off.clone()),
    };
    let word = match status.state {
        RunState::Running => step,
        _ => status.state.word(),
    };
    match detail {
        Some(detail) => format!("{word}: {detail}"),
        None => word.to_owned(),
    }
}

fn step_detail(status: &RunStatus) -> Option<String> {
    let kind = status.step_kind?;
    if kind == StepKind::Replicate {
        let copy = status.copy.as_ref()?;
        return match &status.forward {
            Some(relay) if copy.tables > 0 && copy.tables_done == copy.tables => {
                Some(format!("catching up, {}", show_relay(relay)))
            }
            _ => Some(show_copy(copy)),
        };
    }
    if kind == StepKind::Verify {
        return status.verify.as_ref().map(show_verify);
    }
    if let Some(check) = &status.check {
        let eta = check.eta_s.map(|s| format!(", {} left", seconds(s))).unwrap_or_default();
        return (!check.detail.is_empty()).then(|| format!("{}{eta}", check.detail));
    }
    if matches!(kind, StepKind::Canary | StepKind::BlueGreen | StepKind::Phased) {
        return status.canary.as_ref().map(show_canary);
    }
    if kind == StepKind::Cutover {
        let cutover = status.cutover.as_ref()?;
        let attempt = format!("attempt {}", cutover.attempts.max(1));
        return Some(match &cutover.last_called_off {
            Some(why) => format!("{attempt}; the last was called off: {why}"),
            None => attempt,
        });
    }
    None
}

/// How much of the present step is done and how much there is, where that can be counted.
pub(crate) fn amount(status: &RunStatus) -> Option<(u64, u64)> {
    if !matches!(status.state, RunState::Running) {
        return None;
    }
    let kind = status.step_kind?;
    if kind == StepKind::Replicate {
        let copy = status.copy.as_ref()?;
        let known = copy.stage == "rows" && copy.rows_estimated > 0;
        return known.then_some((copy.rows, copy.rows_estimated));
    }
    if let Some(done) = status.check.as_ref().and_then(|check| check.done_permille) {
        return Some((u64::from(done), 1000));
    }
    if kind == StepKind::Verify {
        let verify = status.verify.as_ref()?;
        return (verify.tables > 0).then_some((verify.tables_done, verify.tables));
    }
    None
}

fn show_copy(copy: &CopyStatus) -> String {
    if copy.stage != "rows" {
        return format!("copy, {}", copy.stage);
    }
    let eta = copy.eta_s.map(|s| format!(", {} left", seconds(s))).unwrap_or_default();
    format!(
        "copy, {} of {} tables, {} rows, {}, {}/s{eta}",
        copy.tables_done,
        copy.tables,
        grouped(copy.rows),
        bytes(copy.bytes),
        bytes(copy.bytes_per_s)
    )
}

fn show_relay(relay: &RelayStatus) -> String {
    let age = relay.lag_ms.map(|ms| format!(", {ms} ms old")).unwrap_or_default();
    let doing = if relay.segment_open { "" } else { " (discarding)" };
    format!(
        "{} behind{age}, {} transactions applied, {} changes/s{doing}",
        bytes(relay.lag_bytes),
        grouped(relay.applied_tx),
        grouped(relay.changes_per_s)
    )
}

fn show_verify(verify: &VerifyStatus) -> String {
    let differing = match verify.rows_different {
        0 => "none different".to_owned(),
        n => format!("{} DIFFERENT", grouped(n)),
    };
    let left_out = match verify.not_compared.as_slice() {
        [] => String::new(),
        classes => format!("; not compared: {}", classes.join(", ")),
    };
    format!(
        "{} of {} tables, {} rows compared, {differing}{left_out}",
        verify.tables_done,
        verify.tables,
        grouped(verify.rows_compared)
    )
}

fn show_canary(canary: &CanaryStatus) -> String {
    let p99 = match (canary.source_p99_us, canary.target_p99_us) {
        (Some(source), Some(target)) => {
            format!(", p99 {} against {} on the source", millis(target), millis(source))
        }
        _ => String::new(),
    };
    let against = match (&canary.against, canary.back_at) {
        (Some(against), Some(back_at)) => format!("; against it {against}, back at {back_at:.0}"),
        _ => String::new(),
    };
    let of = routes::of(&canary.routes);
    let waiting =
        canary.waiting_for.as_ref().map_or(String::new(), |what| format!("; waits for {what}"));
    let outside: String = canary.outside.iter().map(show_outside).collect();
    let left = canary.left_ms.map_or(String::new(), |ms| {
        format!("; about {} left at this share, as it goes now", seconds(ms.div_ceil(1000)))
    });
    let late = match canary.target_late {
        0 => String::new(),
        late => format!(" ({} of them late)", grouped(late)),
    };
    let limit = match (canary.late, canary.until) {
        (true, _) => "; out of time".to_owned(),
        (false, Some(until)) => format!("; to be through by {}", show_instant(until)),
        (false, None) => String::new(),
    };
    format!(
        "{}{of} on the target, {} requests there, {} failed{late}{p99}{against}{outside}{waiting}\
         {left}{limit}",
        share(canary.weight_permille),
        grouped(canary.target_requests),
        grouped(canary.target_errors),
    )
}

fn show_outside(metric: &OutsideStatus) -> String {
    let OutsideStatus { name, seen, against, back_at, silent } = metric;
    let now = silent.as_ref().map_or(String::new(), |why| format!(" (no value now: {why})"));
    format!(
        "; from outside, which can only object, {name}: {seen}{now}, {against:.1} to 1, back at \
         {back_at:.0}"
    )
}

/// A status as a table for people: label and value.
pub(crate) fn table(status: &RunStatus) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("migration", format!("{} (run {})", status.name, status.run_id)),
        ("state", state(&status.state)),
    ];
    rows.extend(status.control.paused_by.as_ref().map(|who| ("paused by", who.to_string())));
    rows.extend([
        ("step", position(status)),
        ("authority", format!("{} (epoch {})", status.authority, status.epoch)),
    ]);
    let mut add = |label, value: Option<String>| rows.extend(value.map(|value| (label, value)));
    add("requests", Some(format!("{} to the target", routes::shares(status))));
    add("copy", status.copy.as_ref().map(show_copy));
    add("types", status.type_numbers.as_ref().map(ToString::to_string));
    add("forward", status.forward.as_ref().map(show_relay));
    add("reverse", status.reverse.as_ref().map(show_relay));
    add("verify", status.verify.as_ref().map(show_verify));
    add("canary", status.canary.as_ref().map(show_canary));
    if let Some(cutover) = &status.cutover {
        let plural = if cutover.attempts == 1 { "" } else { "s" };
        let mut text = format!("{} attempt{plural}", cutover.attempts);
        if let Some(ms) = cutover.write_pause_ms_max {
            text += &format!(", writes paused for {ms} ms");
        }
        if let Some(ms) = cutover.longest_wait_ms {
            text += &format!(", longest wait {ms} ms");
        }
        text += match cutover.proof {
            Some(ProofStage::Pending) => ", the rows at the seal are being compared",
            Some(ProofStage::Lost) => {
                ", the rows at the seal were not compared: the rows as they are will be"
            }
            Some(ProofStage::Done) | None => "",
        };
        add("cutover", Some(text));
        add("called off", cutover.last_called_off.clone());
    }
    if let Some(gates) = &status.gates {
        let text = if gates.reachable {
            format!(
                "{} clients, {} parked, {} requests, {} failed",
                grouped(gates.clients),
                grouped(gates.parked),
                grouped(gates.http_requests),
                grouped(gates.http_errors)
            )
        } else {
            "not reachable: is `changeover gate` running?".to_owned()
        };
        add("gates", Some(text));
        add("routes", routes::traffic(gates));
    }
    add("changed", (!status.changed.is_empty()).then(|| status.changed.join("; ")));
    control::add(&mut add, &status.control, status.authority);
    add("next", next_command(&status.state));
    rows
}

/// A state with its reason.
pub(crate) fn state(state: &RunState) -> String {
    match state {
        RunState::Paused { reason, .. }
        | RunState::Waiting { reason, .. }
        | RunState::Failed { reason, .. } => {
            format!("{}: {reason}", state.word())
        }
        RunState::RollingBack { why } | RunState::RolledBack { why } => {
            format!("{} ({why})", state.word())
        }
        RunState::Done { alarms } if !alarms.is_empty() => {
            format!("done, ALARM: {}", alarms.join("; "))
        }
        RunState::Resting { phase } => format!("rests at the end of phase {phase}"),
        _ => state.word().to_owned(),
    }
}

/// The command that goes on, if the run waits for one.
pub(crate) fn next_command(state: &RunState) -> Option<String> {
    match state {
        RunState::Paused { next_command, .. } | RunState::Failed { next_command, .. } => {
            Some(next_command.to_string())
        }
        RunState::Waiting { next_command, .. } => Some(next_command.clone()),
        RunState::Resting { .. } => Some("changeover apply".to_owned()),
        RunState::Done { alarms } if !alarms.is_empty() => Some("changeover rollback".to_owned()),
        _ => None,
    }
}

fn position(status: &RunStatus) -> String {
    let counted = format!("{} of {} steps done", status.steps_done, status.steps);
    match &status.step {
        Some(step) => format!("{step} ({counted})"),
        None => counted,
    }
}

/// Aligned lines of a table.
pub(crate) fn lines(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let line = |(label, value): &(&str, String)| format!("{label:width$}  {value}");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Tenths of a per cent as a percentage.
pub(crate) fn share(permille: u16) -> String {
    match permille % 10 {
        0 => format!("{} %", permille / 10),
        tenths => format!("{}.{tenths} %", permille / 10),
    }
}

fn millis(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

fn seconds(s: u64) -> String {
    match s {
        0..=99 => format!("{s} s"),
        100..=5999 => format!("{} min", s.div_ceil(60)),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

pub(crate) fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (count, 0);
    let mut tenths = 0;
    while value >= 1000 && unit + 1 < units.len() {
        tenths = value % 1000 / 100;
        value /= 1000;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{value}.{tenths} {}", units[unit]) }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
