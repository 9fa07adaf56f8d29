//! One step: `- verify`, `- verify:` or `- verify: {…}`.

use std::time::Duration;

use crate::fault::FaultKind;
use crate::model::{Objectives, Step};
use crate::node::{Node, Shape, quoted};
use crate::reader::{Field, Fields, Reader, one_of};
use crate::{defaults, units};

use super::{StepDraft, canary, duration, load, mirror, routes, run, smoke};

const STEPS: &[&str] = &[
    "replicate",
    "verify",
    "smoke",
    "load",
    "mirror",
    "run",
    "canary",
    "blue-green",
    "phased",
    "cutover",
    "shift",
    "soak",
    "finish",
];
const UNBUILT: &[&str] = &["terraform", "approve", "notify", "scale", "promote"];

pub(super) fn read(
    field: &Field<'_>,
    objectives: &Objectives,
    reader: &mut Reader,
) -> Option<StepDraft> {
    let expected = format!("a step: {}", one_of(STEPS));
    let (name, place, value) = match &field.node.shape {
        Shape::Text(text) => (text.clone(), field.place(), None),
        Shape::Map(_) => {
            let fields = reader.map(field)?;
            let Some(entry) = fields.only() else {
                reader.bad(FaultKind::WrongType, field, "a mapping with one key, the step");
                return None;
            };
            (entry.key.clone(), entry.place, Some(&entry.value))
        }
        _ => {
            reader.bad(FaultKind::WrongType, field, expected);
            return None;
        }
    };
    if UNBUILT.contains(&&*name) {
        let found = format!("the step `{name}`, which is not built yet");
        reader.fault(FaultKind::NotBuilt, place, &field.path, found, "a plan without it");
        return None;
    }
    if !STEPS.contains(&&*name) {
        let found = format!("the unknown step {}", quoted(&name));
        reader.fault(FaultKind::UnknownKey, place, &field.path, found, expected);
        reader.suggest(&name, STEPS);
        return None;
    }
    let path = format!("{}.{name}", field.path);
    let none = Node { place, shape: Shape::Map(Vec::new()) };
    let node = value.filter(|node| !matches!(node.shape, Shape::Null)).unwrap_or(&none);
    let field = Field { node, path: path.clone() };
    let mut fields = reader.map(&field)?;
    let step = step(&name, &field, &mut fields, objectives, reader);
    Some(StepDraft { place, path, step: step? })
}

/// Reads all fields of the step, so that [`Fields::done`] is called exactly once for each.
fn step(
    name: &str,
    field: &Field<'_>,
    fields: &mut Fields<'_>,
    objectives: &Objectives,
    reader: &mut Reader,
) -> Option<Step> {
    let (step, unbuilt): (Option<Step>, &[&str]) = match name {
        "replicate" => (Some(Step::Replicate), &["throttle", "jobs"]),
        "verify" => {
            if let Some(mode) = fields.get("mode") {
                reader.word(&mode, &[("full", ())]);
            }
            (Some(Step::Verify), &["tables", "sample", "continuous", "repair"])
        }
        "smoke" => (smoke::read(field, fields, reader), &[]),
        "load" => (load::read(field, fields, objectives, reader), &["scale", "warm_up"]),
        "mirror" => (mirror::read(fields, reader), &["against", "methods"]),
        "run" => (run::read(fields, reader), &["cwd", "shell"]),
        "canary" => (Some(canary::canary(fields, reader)), &["metrics", "on_fail", "analysis"]),
        "blue-green" => (Some(canary::blue_green(fields, reader)), &["on_fail"]),
        "phased" => (routes::phased(fields, reader), &["on_fail"]),
        "cutover" => (cutover(fields, reader), &["window", "order"]),
        "shift" => (shift(fields, reader), &["over", "step"]),
        "soak" => (soak(fields, reader).map(|for_| Step::Soak { for_ }), &["until"]),
        _ => (Some(Step::Finish), &["decommission"]),
    };
    fields.finish(unbuilt, reader);
    step
}

pub(super) fn permille(field: &Field<'_>, reader: &mut Reader) -> Option<u16> {
    let expected = "a percentage from 0% to 100% in tenths, written like 5% or 0.5%";
    reader.parsed(field, FaultKind::WrongUnit, expected, units::permille)
}

fn cutover(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Step> {
    let (mut attempts, mut retry_after) = defaults::CUTOVER;
    let attempts_field = fields.get("attempts");
    let retry_field = fields.get("retry_after");
    if let Some(field) = fields.get("blocked_sessions") {
        let text = reader.text(&field, "`wait`");
        if text == Some("terminate") {
            reader.bad(FaultKind::NotBuilt, &field, "`wait`");
            reader.hint("ending other people's sessions is not built yet");
        } else {
            reader.word(&field, &[("wait", ())]);
        }
    }
    if let Some(number) = attempts_field.and_then(|field| reader.number(&field, 1, 1000)) {
        attempts = u32::try_from(number).unwrap_or(attempts);
    }
    let limits = (Duration::from_millis(100), Duration::from_secs(86_400));
    if let Some(value) = retry_field.and_then(|field| duration(&field, limits, reader)) {
        retry_after = value;
    }
    Some(Step::Cutover { attempts, retry_after })
}

fn shift(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Step> {
    let route = routes::named(fields, reader);
    let field = fields.need("to", "the target's share, like `to: 100%`", reader)?;
    Some(Step::Shift { target_permille: permille(&field, reader)?, route })
}

/// How long a soak takes.
pub(crate) fn soak(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Duration> {
    let field = fields.need("for", "a duration, like `for: 24h`", reader)?;
    let limits = (Duration::from_secs(1), Duration::from_secs(30 * 86_400));
    duration(&field, limits, reader)
}
