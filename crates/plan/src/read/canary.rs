//! `canary` and `blue-green`.

use std::time::Duration;

use crate::canary::{BlueGreen, Canary, proof_for, quantile};
use crate::fault::FaultKind;
use crate::model::Step;
use crate::reader::{Field, Fields, Reader};
use crate::units;

use super::{duration, outside, percentage, routes};

const WEIGHTS_MAX: usize = 50;
const QUANTILES_MAX: usize = 8;
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// A part that cannot be read leaves its default: the fault is recorded, and the others are still
/// looked at.
pub(super) fn canary(fields: &mut Fields<'_>, reader: &mut Reader) -> Step {
    let mut canary = Canary { route: routes::named(fields, reader), ..Canary::default() };
    if let Some(read) = fields.get("weights").and_then(|field| weights(&field, reader)) {
        canary.proof = proof_for(read.len());
        canary.weights = read;
    }
    let limits = (Duration::from_secs(1), WEEK);
    if let Some(read) = fields.get("at_least").and_then(|f| duration(&f, limits, reader)) {
        canary.at_least = read;
    }
    if let Some(field) = fields.get("proof") {
        proof(&field, &mut canary, reader);
    }
    if let Some(read) = fields.get("false_alarm").and_then(|f| false_alarm(&f, reader)) {
        canary.false_alarm = read;
    }
    if let Some(read) = fields.get("latency").and_then(|field| quantiles(&field, reader)) {
        canary.latency = read;
    }
    let limits = (Duration::ZERO, Duration::from_secs(3600));
    if let Some(read) = fields.get("warm_up").and_then(|f| duration(&f, limits, reader)) {
        canary.warm_up = read;
    }
    canary.outside =
        fields.get("outside").map_or(Vec::new(), |field| outside::read(&field, reader));
    within(fields, &mut canary, reader);
    Step::Canary(canary)
}

fn within(fields: &mut Fields<'_>, canary: &mut Canary, reader: &mut Reader) {
    let (field, on_timeout) = (fields.get("within"), fields.get("on_timeout"));
    if let (Some(on_timeout), None) = (&on_timeout, &field) {
        reader.bad(FaultKind::Contradiction, on_timeout, "`within` beside it");
    }
    if let Some(then) = on_timeout.and_then(|field| reader.word(&field, &outside::STUCK)) {
        canary.on_timeout = then;
    }
    let Some(field) = field else { return };
    canary.within = duration(&field, (Duration::from_secs(1), WEEK), reader);
    let weights = u32::try_from(canary.weights.len()).unwrap_or(u32::MAX);
    let least = canary.at_least.saturating_mul(weights);
    if canary.within.is_some_and(|within| within <= least) {
        let (each, least) = (units::show_duration(canary.at_least), units::show_duration(least));
        let expected = format!("more than {least}: {weights} weights of at least {each}");
        reader.bad(FaultKind::Contradiction, &field, expected);
    }
}

pub(super) fn blue_green(fields: &mut Fields<'_>, reader: &mut Reader) -> Step {
    let route = routes::named(fields, reader);
    Step::BlueGreen(BlueGreen { route, ..switch(fields, "watch", reader) })
}

/// How a switch is watched; `watch` is the key of the time.
pub(super) fn switch(
    fields: &mut Fields<'_>,
    watch: &'static str,
    reader: &mut Reader,
) -> BlueGreen {
    let mut switch = BlueGreen::default();
    let limits = (Duration::from_secs(1), WEEK);
    if let Some(read) = fields.get(watch).and_then(|field| duration(&field, limits, reader)) {
        switch.watch = read;
    }
    if let Some(read) = fields.get("false_alarm").and_then(|f| false_alarm(&f, reader)) {
        switch.false_alarm = read;
    }
    switch
}

fn weights(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<u16>> {
    let items = reader.list(field, "weights like [5%, 25%, 50%]")?;
    if items.is_empty() || items.len() > WEIGHTS_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {WEIGHTS_MAX} weights"));
        return None;
    }
    let mut weights: Vec<u16> = Vec::new();
    for item in &items {
        let Some(weight) = super::steps::permille(item, reader) else { continue };
        if weight == 0 || weight == 1000 {
            let expected = "a weight above 0% and below 100% (100% is a `shift`)";
            reader.bad(FaultKind::WrongValue, item, expected);
        } else if weights.last().is_some_and(|last| *last >= weight) {
            reader.bad(FaultKind::Contradiction, item, "weights that ascend");
        }
        weights.push(weight);
    }
    Some(weights)
}

fn proof(field: &Field<'_>, canary: &mut Canary, reader: &mut Reader) {
    let Some(items) = reader.list(field, "multiples like [5x, 2x, 1.5x]") else { return };
    let expected = "a multiple from 1.1x to 20x, written like 1.5x";
    let parse = |text: &str| units::ratio(text).filter(|ratio| (1.1..=20.0).contains(ratio));
    let read: Vec<f64> = items
        .iter()
        .filter_map(|item| reader.parsed(item, FaultKind::WrongUnit, expected, parse))
        .collect();
    if items.len() != canary.weights.len() {
        let expected = format!("as many as there are weights: {}", canary.weights.len());
        reader.bad(FaultKind::Contradiction, field, expected);
    } else if read.len() == items.len() {
        canary.proof = read;
    }
}

fn false_alarm(field: &Field<'_>, reader: &mut Reader) -> Option<f64> {
    let value = percentage(field, reader)?;
    if (0.0001..=0.2).contains(&value) {
        return Some(value);
    }
    reader.bad(FaultKind::WrongValue, field, "a probability from 0.01% to 20%");
    None
}

fn quantiles(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<f64>> {
    let items = reader.list(field, "quantiles like [p50, p99]")?;
    if items.len() > QUANTILES_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("at most {QUANTILES_MAX} quantiles"));
        return None;
    }
    let expected = "a quantile from p1 to below p100, written like p99 or p99.9";
    let mut read: Vec<f64> = Vec::new();
    for item in &items {
        let value = reader.parsed(item, FaultKind::WrongUnit, expected, quantile)?;
        if read.last().is_some_and(|last| *last >= value) {
            reader.bad(FaultKind::Contradiction, item, "quantiles that ascend");
        }
        read.push(value);
    }
    Some(read)
}
