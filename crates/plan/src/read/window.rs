//! `window` of a phase, and `objectives.deadline`.

use jiff::civil::{Time, Weekday};

use crate::fault::FaultKind;
use crate::model::{Deadline, Outcome, Window};
use crate::node::Shape;
use crate::reader::{Field, Reader};
use crate::window::{DAYS, instant, zone};

/// `{days: [sat, sun], between: "01:00-05:00", zone: Europe/Berlin}`.
pub(super) fn read(field: &Field<'_>, reader: &mut Reader) -> Option<Window> {
    let mut fields = reader.map(field)?;
    let days = match fields.get("days") {
        Some(field) => days(&field, reader),
        None => Some(DAYS.map(|(_, day)| day).to_vec()),
    };
    let hours = "two times of day like \"01:00-05:00\"";
    let between = fields
        .need("between", hours, reader)
        .and_then(|field| reader.parsed(&field, FaultKind::WrongValue, hours, between));
    let place = "a time zone like Europe/Berlin or UTC";
    let zone = fields.need("zone", place, reader).and_then(|field| {
        let known = |t: &str| zone(t).map(|_| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, place, known)
    });
    fields.done(&["except", "dates"], reader);
    let (from, to) = between?;
    Some(Window { days: days?, from, to, zone: zone? })
}

fn days(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<Weekday>> {
    let items = reader.list(field, "days like [sat, sun]")?;
    if items.is_empty() {
        reader.bad(FaultKind::WrongValue, field, "at least one day (every day, if left out)");
    }
    let mut days = Vec::new();
    for item in &items {
        let Some(day) = reader.word(item, &DAYS) else { continue };
        if days.contains(&day) {
            reader.bad(FaultKind::Contradiction, item, "each day once");
        }
        days.push(day);
    }
    Some(days)
}

fn between(text: &str) -> Option<(Time, Time)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (time(from)?, time(to)?);
    (from != to).then_some((from, to))
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse());
    Time::new(two(hour)?.ok()?, two(minute)?.ok()?, 0, 0).ok()
}

/// `deadline: 2026-12-13T05:00:00+01:00`, or `{at: …, on_reached: hold|rollback|abort}`.
pub(super) fn deadline(field: &Field<'_>, reader: &mut Reader) -> Option<Deadline> {
    let expected = "an instant with its offset, like 2026-12-13T05:00:00+01:00";
    if !matches!(field.node.shape, Shape::Map(_)) {
        let at = reader.parsed(field, FaultKind::WrongValue, expected, instant)?;
        return Some(Deadline { at, on_reached: Outcome::Hold });
    }
    let mut fields = reader.map(field)?;
    let at = fields
        .need("at", expected, reader)
        .and_then(|field| reader.parsed(&field, FaultKind::WrongValue, expected, instant));
    let on_reached = fields.get("on_reached").map(|field| outcome(&field, reader));
    fields.done(&[], reader);
    Some(Deadline { at: at?, on_reached: on_reached.unwrap_or(Some(Outcome::Hold))? })
}

/// `hold`, `rollback` or `abort`.
pub(super) fn outcome(field: &Field<'_>, reader: &mut Reader) -> Option<Outcome> {
    let words =
        [("hold", Outcome::Hold), ("rollback", Outcome::Rollback), ("abort", Outcome::Abort)];
    reader.word(field, &words)
}
