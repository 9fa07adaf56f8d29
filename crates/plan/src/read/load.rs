//! `load`: how much of what is sent, and what must hold meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use crate::fault::FaultKind;
use crate::model::checks::{
    AccessLog, Limits, Load, LoadRequest, LogFormat, ProfilePart, StatusRange, Traffic,
};
use crate::model::{Against, Objectives, Step};
use crate::reader::{Field, Fields, Reader};
use crate::units;

use super::{ask, duration, on_fail, percentage, run};

const CONNECTIONS: u64 = 64;
const CONNECTIONS_MAX: u64 = 1024;
const REQUESTS_MAX: usize = 200;
const STEPS_MAX: usize = 100;
/// How long a ramp takes, and what surrounds a spike, where the plan does not say.
const RAMP: Duration = Duration::from_secs(30);
const PART: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(7 * 86_400));

pub(super) fn read(
    field: &Field<'_>,
    fields: &mut Fields<'_>,
    objectives: &Objectives,
    reader: &mut Reader,
) -> Option<Step> {
    let against = ask::against(fields, Against::Target, reader);
    let on_fail = on_fail::read(fields, reader);
    let connections = fields.get("connections");
    let connections = connections.and_then(|f| reader.number(&f, 1, CONNECTIONS_MAX));
    let within = ask::within(fields, reader);
    let limits = limits(fields, objectives, reader);
    let traffic = traffic(field, fields, within, reader)?;
    let judged = limits.error_rate.is_some() || limits.latency_p99.is_some();
    if !judged && !matches!(traffic, Traffic::Exec(_)) {
        let found = "a load without anything that must hold";
        let expected = "`error_rate` or `latency_p99`, here or in `objectives`";
        reader.fault(FaultKind::Missing, field.place(), &field.path, found, expected);
    }
    let connections = u32::try_from(connections.unwrap_or(CONNECTIONS)).unwrap_or(1);
    Some(Step::Load(Load { traffic, against, limits, connections, within, on_fail }))
}

/// Its own limits, or the objectives.
fn limits(fields: &mut Fields<'_>, objectives: &Objectives, reader: &mut Reader) -> Limits {
    let rate = fields.get("error_rate").and_then(|field| percentage(&field, reader));
    let p99 = fields.get("latency_p99");
    let p99 = p99.and_then(|field| duration(&field, ask::WITHIN_LIMITS, reader));
    Limits {
        error_rate: rate.or(objectives.error_rate),
        latency_p99: p99.or(objectives.latency_p99),
    }
}

fn traffic(
    at: &Field<'_>,
    fields: &mut Fields<'_>,
    within: Duration,
    reader: &mut Reader,
) -> Option<Traffic> {
    let requests = fields.get("requests");
    let log = fields.get("access_log");
    let exec = fields.get("exec");
    let profile = fields.get("profile");
    let reads_only = fields.get("reads_only");
    let reads_only = reads_only
        .and_then(|field| reader.word(&field, &[("true", true), ("false", false)]))
        .unwrap_or(true);
    if let (Some(profile), None) = (&profile, &requests) {
        let expected = "`requests` beside it: a log has its own times, a command its own profile";
        reader.bad(FaultKind::Contradiction, profile, expected);
    }
    match (requests, log, exec) {
        (Some(requests), None, None) => {
            let list = "requests like {path: /products/1}";
            let requests = ask::list(&requests, list, REQUESTS_MAX, reader, |item, reader| {
                request(item, within, reads_only, reader)
            });
            let Some(field) = profile else {
                let expected = "`profile: {rate: 50/s, for: 1m}` or another one";
                let found = "no `profile`";
                reader.fault(FaultKind::Missing, at.place(), &at.path, found, expected);
                return None;
            };
            let profile = self::profile(&field, reader);
            Some(Traffic::Requests { requests: requests?, profile: profile? })
        }
        (None, Some(log), None) => access_log(&log, reader).map(Traffic::AccessLog),
        (None, None, Some(exec)) => {
            let mut fields = reader.map(&exec)?;
            let exec = run::exec(&mut fields, reader);
            fields.done(&[], reader);
            exec.map(Traffic::Exec)
        }
        _ => {
            let expected = "one of `requests`, `access_log` and `exec`";
            reader.bad(FaultKind::Contradiction, at, expected);
            None
        }
    }
}

fn request(
    field: &Field<'_>,
    within: Duration,
    reads_only: bool,
    reader: &mut Reader,
) -> Option<LoadRequest> {
    let mut fields = reader.map(field)?;
    let request = ask::request_within(&mut fields, within, reader);
    let status = fields.get("expect_status").map(|field| ask::statuses(&field, reader));
    fields.done(&["weight", "think"], reader);
    let request = request?;
    if reads_only && !["GET", "HEAD", "OPTIONS"].contains(&&*request.method) {
        let found = format!("{} in a load that only reads", request.method);
        let expected = "`reads_only: false` beside `requests`";
        reader.fault(FaultKind::Contradiction, field.place(), &field.path, found, expected);
    }
    let fine = vec![StatusRange { from: 200, to: 399 }];
    Some(LoadRequest { request, status: status.unwrap_or(Some(fine))? })
}

fn rate(field: &Field<'_>, reader: &mut Reader) -> Option<f64> {
    let expected = "a rate from 0.01/s to 100000/s, written like 50/s or 30/m";
    reader.parsed(field, FaultKind::WrongUnit, expected, units::rate)
}

/// `{rate, for}`, `{ramp_to, over, soak}`, `{step, each}` or `{spike, from, for, around}`.
fn profile(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<ProfilePart>> {
    let mut fields = reader.map(field)?;
    let kinds = ["rate", "ramp_to", "step", "spike"];
    let there: Vec<(&str, Field<'_>)> =
        kinds.into_iter().filter_map(|kind| fields.get(kind).map(|field| (kind, field))).collect();
    let [(kind, rate_field)] = there.as_slice() else {
        fields.finish(&[], reader);
        let expected = "one of `rate`, `ramp_to`, `step` and `spike`";
        reader.bad(FaultKind::Contradiction, field, expected);
        return None;
    };
    let time = |fields: &mut Fields<'_>, key: &'static str, usual, reader: &mut Reader| match fields
        .get(key)
    {
        Some(field) => duration(&field, PART, reader),
        None => usual,
    };
    let flat = |rate: f64, lasts: Duration| ProfilePart { from: rate, to: rate, lasts };
    let parts = match *kind {
        "rate" => {
            let rate = rate(rate_field, reader);
            let lasts = fields.need("for", "how long, like `for: 1m`", reader);
            let lasts = lasts.and_then(|field| duration(&field, PART, reader));
            rate.zip(lasts).map(|(rate, lasts)| vec![flat(rate, lasts)])
        }
        "ramp_to" => {
            let rate = rate(rate_field, reader);
            let over = time(&mut fields, "over", Some(RAMP), reader);
            let soak = time(&mut fields, "soak", Some(Duration::ZERO), reader);
            rate.zip(over.zip(soak)).map(|(rate, (over, soak))| {
                let ramp = ProfilePart { from: 0.0, to: rate, lasts: over };
                let soaks = !soak.is_zero();
                [ramp].into_iter().chain(soaks.then(|| flat(rate, soak))).collect()
            })
        }
        "step" => {
            let list = "rates like [50/s, 100/s, 200/s]";
            let rates = ask::list(rate_field, list, STEPS_MAX, reader, rate);
            let each = time(&mut fields, "each", Some(RAMP), reader);
            rates
                .zip(each)
                .map(|(rates, each)| rates.into_iter().map(|rate| flat(rate, each)).collect())
        }
        _ => {
            let spike = rate(rate_field, reader);
            let from = fields.need("from", "the usual rate, like `from: 50/s`", reader);
            let from = from.and_then(|field| self::rate(&field, reader));
            let lasts = time(&mut fields, "for", Some(Duration::from_secs(10)), reader);
            let around = time(&mut fields, "around", Some(RAMP), reader);
            spike.zip(from).zip(lasts.zip(around)).map(|((spike, from), (lasts, around))| {
                vec![flat(from, around), flat(spike, lasts), flat(from, around)]
            })
        }
    };
    fields.done(&[], reader);
    parts
}

fn access_log(field: &Field<'_>, reader: &mut Reader) -> Option<AccessLog> {
    let mut fields = reader.map(field)?;
    let file = fields.need("file", "the log, like `file: access.log`", reader);
    let file = file.and_then(|field| reader.text(&field, "a path").map(PathBuf::from));
    let formats =
        [("common", LogFormat::Common), ("combined", LogFormat::Common), ("json", LogFormat::Json)];
    let format = fields.get("format").map(|field| reader.word(&field, &formats));
    let times = fields.get("times").map(|field| {
        let expected = "a multiple of the log's own rate, written like 2x";
        reader.parsed(&field, FaultKind::WrongUnit, expected, units::ratio)
    });
    fields.done(&["follow", "methods"], reader);
    Some(AccessLog {
        file: file?,
        format: format.unwrap_or(Some(LogFormat::Common))?,
        times: times.unwrap_or(Some(1.0))?,
    })
}
