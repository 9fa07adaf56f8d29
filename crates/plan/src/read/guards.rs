//! `guards`: what is watched all along.

use std::time::Duration;

use crate::fault::FaultKind;
use crate::model::{AfterDone, Guard, Limit, Measure, Objectives, OnNoData, Reaction};
use crate::reader::{Field, Fields, Reader};
use crate::units;

use super::phases::phase_name;
use super::{GuardDraft, duration};

const GUARDS_MAX: usize = 100;
const FOR: Duration = Duration::from_secs(30);
const METRICS: [(&str, Measure); 5] = [
    ("gate.error_rate", Measure::ErrorRate),
    ("gate.latency_p99", Measure::LatencyP99),
    ("relay.lag", Measure::RelayLag),
    ("slot.retained", Measure::SlotRetained),
    ("verify.different", Measure::RowsDifferent),
];

/// The guards that the plan names.
pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> Vec<GuardDraft> {
    let Some(field) = fields.get("guards") else { return Vec::new() };
    let items = reader.list(&field, "guards").unwrap_or_default();
    if items.len() > GUARDS_MAX {
        reader.bad(FaultKind::WrongValue, &field, format!("at most {GUARDS_MAX} guards"));
    }
    let mut guards: Vec<GuardDraft> = Vec::new();
    for item in &items {
        let Some(guard) = guard(item, reader) else { continue };
        if guards.iter().any(|known| known.guard.name == guard.name) {
            let found = format!("the guard `{}` a second time", guard.name);
            let expected = "a name of its own for each guard";
            reader.fault(FaultKind::Contradiction, item.place(), &item.path, found, expected);
        }
        guards.push(GuardDraft { place: item.place(), path: item.path.clone(), guard });
    }
    guards
}

/// What guards and objectives lead to when all steps are done.
pub(super) fn after_done(fields: &mut Fields<'_>, reader: &mut Reader) -> AfterDone {
    let words = [("alarm", AfterDone::Alarm), ("rollback", AfterDone::Rollback)];
    let field = fields.get("after_done");
    field.and_then(|field| reader.word(&field, &words)).unwrap_or_default()
}

/// What the objectives demand of the target once requests go there.
pub(super) fn of_objectives(objectives: &Objectives) -> Vec<Guard> {
    let guard = |name: &str, measure, limit| Guard {
        name: name.to_owned(),
        measure,
        limit: Some(Limit::AtMost(limit)),
        for_: FOR,
        every: Duration::from_secs(1),
        on_fail: Reaction::Rollback,
        on_no_data: OnNoData::Hold,
        objective: true,
    };
    let errors =
        objectives.error_rate.map(|rate| guard("objectives.error_rate", Measure::ErrorRate, rate));
    let latency = objectives
        .latency_p99
        .map(|p99| guard("objectives.latency_p99", Measure::LatencyP99, p99.as_secs_f64()));
    errors.into_iter().chain(latency).collect()
}

fn guard(field: &Field<'_>, reader: &mut Reader) -> Option<Guard> {
    let mut fields = reader.map(field)?;
    let expected = "a name of a-z, 0-9, _ and -, starting with a letter";
    let name = fields.need("name", expected, reader).and_then(|field| {
        let name = |t: &str| phase_name(t).then(|| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, expected, name)
    });
    let measure = measure(field, &mut fields, reader);
    let limit = limit(field, &mut fields, measure.as_ref(), reader);
    let for_field = fields.get("for");
    let every_field = fields.get("every");
    let fail_field = fields.get("on_fail");
    let no_data_field = fields.get("on_no_data");
    fields.done(&["critical", "during", "phases"], reader);
    let for_ = match for_field {
        Some(field) => duration(&field, (Duration::ZERO, Duration::from_secs(86_400)), reader),
        None => Some(FOR),
    };
    let usual = Duration::from_secs(match measure {
        Some(Measure::SlotRetained | Measure::Prometheus { .. } | Measure::Exec { .. }) => 10,
        _ => 1,
    });
    let limits = (Duration::from_secs(1), Duration::from_secs(600));
    let every = match every_field {
        Some(field) => duration(&field, limits, reader),
        None => Some(usual),
    };
    let on_fail = match fail_field {
        Some(field) => reader.word(
            &field,
            &[
                ("rollback", Reaction::Rollback),
                ("pause", Reaction::Pause),
                ("hold", Reaction::Hold),
                ("abort", Reaction::Abort),
                ("warn", Reaction::Warn),
            ],
        ),
        None => Some(Reaction::Rollback),
    };
    let on_no_data = match no_data_field {
        Some(field) => {
            let words =
                [("hold", OnNoData::Hold), ("fail", OnNoData::Fail), ("ignore", OnNoData::Ignore)];
            reader.word(&field, &words)
        }
        None => Some(OnNoData::Hold),
    };
    Some(Guard {
        name: name?,
        measure: measure?,
        limit: limit?,
        for_: for_?,
        every: every?,
        on_fail: on_fail?,
        on_no_data: on_no_data?,
        objective: false,
    })
}

fn measure(field: &Field<'_>, fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Measure> {
    let (metric, prometheus, exec) =
        (fields.get("metric"), fields.get("prometheus"), fields.get("exec"));
    let timeout = fields.get("timeout");
    let given = [&metric, &prometheus, &exec].iter().filter(|it| it.is_some()).count();
    if given != 1 {
        let found = if given == 0 { "nothing to watch" } else { "several things to watch" };
        let expected = "one of `metric`, `prometheus` or `exec`";
        reader.fault(FaultKind::Contradiction, field.place(), &field.path, found, expected);
        return None;
    }
    if let Some(timeout) = timeout.as_ref().filter(|_| exec.is_none()) {
        reader.bad(FaultKind::Contradiction, timeout, "`timeout` only for an `exec`");
    }
    if let Some(field) = metric {
        let words: Vec<(&'static str, usize)> =
            METRICS.iter().enumerate().map(|(index, (name, _))| (*name, index)).collect();
        return reader.word(&field, &words).map(|index| METRICS[index].1.clone());
    }
    if let Some(field) = prometheus {
        return query(&field, reader);
    }
    let limits = (Duration::from_secs(1), Duration::from_secs(600));
    let timeout = match timeout {
        Some(field) => duration(&field, limits, reader)?,
        None => Duration::from_secs(10),
    };
    let argv = argv(&exec?, reader)?;
    Some(Measure::Exec { argv, timeout })
}

fn argv(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<String>> {
    let items = reader.list(field, "a program and its arguments, like [./check, --fast]")?;
    if items.is_empty() || items.len() > 100 {
        reader.bad(FaultKind::WrongValue, field, "a program and at most 99 arguments");
        return None;
    }
    let word =
        |item: &Field<'_>, reader: &mut Reader| reader.text(item, "a text").map(str::to_owned);
    items.iter().map(|item| word(item, reader)).collect()
}

pub(super) fn query(field: &Field<'_>, reader: &mut Reader) -> Option<Measure> {
    let mut fields = reader.map(field)?;
    let expected = "a Prometheus server like http://10.0.0.9:9090";
    let url = fields.need("url", expected, reader).and_then(|field| {
        let text = reader.text(&field, expected)?.trim_end_matches('/').to_owned();
        if text.starts_with("https://") {
            reader.bad(FaultKind::NotBuilt, &field, "a server with http://");
            reader.hint("TLS to Prometheus is not built yet: ask it on a private network");
            return None;
        }
        let rest = text.strip_prefix("http://").unwrap_or_default();
        if rest.contains('@') {
            reader.bad(FaultKind::InlineSecret, &field, "a server without a user");
            return None;
        }
        let fine = !rest.is_empty()
            && !rest.starts_with('/')
            && rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
        if !fine {
            reader.bad(FaultKind::WrongValue, &field, expected);
        }
        fine.then_some(text)
    });
    let query = fields
        .need("query", "a PromQL query that gives one figure", reader)
        .and_then(|field| reader.text(&field, "a PromQL query").map(str::to_owned));
    fields.done(&["headers", "range"], reader);
    Some(Measure::Prometheus { url: url?, query: query? })
}

/// `Some(None)` for a command, which has no figure.
fn limit(
    field: &Field<'_>,
    fields: &mut Fields<'_>,
    measure: Option<&Measure>,
    reader: &mut Reader,
) -> Option<Option<Limit>> {
    let given = [fields.get("below"), fields.get("at_most"), fields.get("above")];
    let compare = fields.get("compare");
    let count = given.iter().chain([&compare]).filter(|it| it.is_some()).count();
    let measure = measure?;
    if matches!(measure, Measure::Exec { .. }) {
        if count > 0 {
            let expected = "no limit: a command says it by its exit code";
            let found = "a limit for a command";
            reader.fault(FaultKind::Contradiction, field.place(), &field.path, found, expected);
            return None;
        }
        return Some(None);
    }
    if count != 1 {
        let found = if count == 0 { "no limit" } else { "several limits" };
        let expected = "one of `below`, `at_most`, `above` or `compare`";
        reader.fault(FaultKind::Contradiction, field.place(), &field.path, found, expected);
        return None;
    }
    if let Some(field) = compare {
        return Some(Some(times_source(&field, measure, reader)?));
    }
    let kinds: [fn(f64) -> Limit; 3] = [Limit::Below, Limit::AtMost, Limit::Above];
    let (field, kind) = given.into_iter().zip(kinds).find_map(|(it, kind)| Some((it?, kind)))?;
    Some(Some(kind(figure(&field, measure, reader)?)))
}

fn figure(field: &Field<'_>, measure: &Measure, reader: &mut Reader) -> Option<f64> {
    let seconds = |t: &str| units::duration(t).map(|it| it.as_secs_f64());
    match measure {
        Measure::ErrorRate => super::percentage(field, reader),
        Measure::LatencyP99 | Measure::RelayLag => {
            let expected = "a duration written like 250ms or 30s";
            reader.parsed(field, FaultKind::WrongUnit, expected, seconds)
        }
        Measure::SlotRetained => {
            let expected = "a size written like 500MB or 20GB";
            reader.parsed(field, FaultKind::WrongUnit, expected, units::size)
        }
        Measure::RowsDifferent | Measure::Prometheus { .. } | Measure::Exec { .. } => {
            let expected = "a number like 0.8, or a percentage like 80% (which is 0.8)";
            reader.parsed(field, FaultKind::WrongUnit, expected, units::number)
        }
    }
}

fn times_source(field: &Field<'_>, measure: &Measure, reader: &mut Reader) -> Option<Limit> {
    let mut fields = reader.map(field)?;
    if let Some(to) = fields.need("to", "`to: source`", reader) {
        reader.word(&to, &[("source", ())]);
    }
    let multiple = "a multiple written like 1.1x";
    let times = fields
        .need("at_most", multiple, reader)
        .and_then(|field| reader.parsed(&field, FaultKind::WrongUnit, multiple, units::ratio));
    fields.done(&["at_least"], reader);
    if !matches!(measure, Measure::ErrorRate | Measure::LatencyP99) {
        let expected =
            "`compare` for `gate.error_rate` or `gate.latency_p99`, which both sides have";
        reader.bad(FaultKind::Contradiction, field, expected);
        return None;
    }
    Some(Limit::TimesSource(times?))
}
