//! `data`.

use std::time::Duration;

use crate::defaults;
use crate::fault::{FaultKind, Place};
use crate::model::{Data, Tablespaces};
use crate::node::Shape;
use crate::reader::{Field, Fields, Reader};

/// More than anybody takes while two sides change places.
const MARGIN_MAX: u64 = 1_000_000_000;

const UNBUILT: &[&str] = &["throttle", "verify", "engine", "transform"];

pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> (Option<Place>, Data) {
    let mut data = defaults::data();
    let Some(field) = fields.get("data") else { return (None, data) };
    let place = fields.key_place("data");
    let Some(mut fields) = reader.map(&field) else { return (Some(place), data) };
    let include = fields.get("include");
    if let Some(field) = &include {
        data.include = relations(field, reader);
        if matches!(&field.node.shape, Shape::List(items) if items.is_empty()) {
            let expected = "at least one schema or table (everything, if left out)";
            reader.bad(FaultKind::WrongValue, field, expected);
        }
    }
    if let Some(field) = fields.get("exclude") {
        data.exclude = relations(&field, reader);
        if let Some(both) = data.exclude.iter().find(|it| data.include.contains(it)) {
            let found = format!("`{both}`, which `include` has too");
            reader.fault(FaultKind::Contradiction, field.place(), &field.path, found, "either");
        }
    }
    if let Some(jobs) = fields.get("copy_jobs").and_then(|field| reader.number(&field, 1, 64)) {
        data.copy_jobs = usize::try_from(jobs).unwrap_or(1);
    }
    if let Some(field) = fields.get("tablespaces") {
        let words = [("keep", Tablespaces::Keep), ("default", Tablespaces::Default)];
        data.tablespaces = reader.word(&field, &words).unwrap_or(Tablespaces::Keep);
    }
    if let Some(margin) =
        fields.get("sequence_margin").and_then(|field| reader.number(&field, 0, MARGIN_MAX))
    {
        data.sequence_margin = margin;
    }
    if let Some(field) = fields.get("type_numbers") {
        type_numbers(&field, &mut data, reader);
    }
    if let Some(field) = fields.get("reverse") {
        reverse(&field, &mut data, reader);
    }
    fields.done(UNBUILT, reader);
    (Some(place), data)
}

fn type_numbers(field: &Field<'_>, data: &mut Data, reader: &mut Reader) {
    let Some(mut fields) = reader.map(field) else { return };
    let most = u64::from(u32::MAX);
    if let Some(budget) = fields.get("budget").and_then(|field| reader.number(&field, 0, most)) {
        data.type_numbers_budget = budget;
    }
    fields.done(&[], reader);
}

fn reverse(field: &Field<'_>, data: &mut Data, reader: &mut Reader) {
    let Some(mut fields) = reader.map(field) else { return };
    if let Some(field) = fields.get("keep") {
        let limits = (Duration::from_secs(60), Duration::from_secs(30 * 86_400));
        if let Some(keep) = super::duration(&field, limits, reader) {
            data.reverse_keep = keep;
        }
    }
    fields.done(&["enabled", "disk_limit"], reader);
}

fn relations(field: &Field<'_>, reader: &mut Reader) -> Vec<String> {
    let expected = "a schema or schema.table";
    let Some(items) = reader.list(field, "schemas or schema.table") else { return Vec::new() };
    let mut relations: Vec<String> = Vec::new();
    for item in &items {
        let Some(text) = reader
            .parsed(item, FaultKind::WrongValue, expected, |t| relation(t).then(|| t.to_owned()))
        else {
            if let Some(schema) = reader.text(item, expected).and_then(|t| t.strip_suffix(".*")) {
                reader.hint(format!("`{schema}` alone means the whole schema"));
            }
            continue;
        };
        if relations.contains(&text) {
            reader.bad(FaultKind::Contradiction, item, "each once");
        }
        relations.push(text);
    }
    relations
}

/// One or two non-empty parts. Names that hold a dot or an asterisk cannot be named here.
fn relation(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let part = |p: &&str| !p.is_empty() && p.len() <= 63 && !p.contains(['*', '"', '\0']);
    parts.len() <= 2 && parts.iter().all(|p| part(p) && p.trim() == *p)
}
