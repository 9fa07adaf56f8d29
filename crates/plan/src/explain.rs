//! What a plan will do, in words, before it does it.

use changeover_types::RouteName;
use serde::Serialize;

use crate::model::checks::{Load, OnFail, Smoke, Traffic};
use crate::model::{Plan, Step};
use crate::routes::whose;
use crate::units::{show_duration, show_percentage, show_permille};

/// Whether a step can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversible {
    /// It changes nothing.
    ReadOnly,
    /// At any time.
    Always,
    /// `abort` until the grant; after it `rollback`, until `finish`.
    UntilFinish,
    /// Never.
    Never,
}

/// One step in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedStep {
    /// As [`crate::PlacedStep::path`].
    pub path: String,
    /// What happens.
    pub what: String,
    /// What happens if it does not work out.
    pub fallback: String,
    /// Whether it can be taken back.
    pub reversible: Reversible,
}

/// Explains every step in order.
#[must_use]
pub fn explain(plan: &Plan) -> Vec<ExplainedStep> {
    plan.steps()
        .map(|placed| {
            let (what, fallback, reversible) = words(plan, placed.step);
            ExplainedStep { path: placed.path, what, fallback: fallback.to_owned(), reversible }
        })
        .collect()
}

fn words(plan: &Plan, step: &Step) -> (String, &'static str, Reversible) {
    let has_routes = plan.gates.http.as_ref().is_some_and(|gate| !gate.routes.is_empty());
    match step {
        Step::Replicate => (
            replicate(plan),
            "abort: slot, publication and what was copied are removed; the source is as before",
            Reversible::Always,
        ),
        Step::Verify => (
            "compare every row of both sides at one position".to_owned(),
            "pause with the differing keys; nothing more is begun",
            Reversible::ReadOnly,
        ),
        Step::Smoke(smoke) => {
            (questions(smoke), check_fallback(smoke.on_fail), Reversible::ReadOnly)
        }
        Step::Load(load) => (load_words(load), check_fallback(load.on_fail), Reversible::ReadOnly),
        Step::Mirror(mirror) => (
            format!(
                "for {} ask both sides what {} of the clients ask and compare; at most {} differ",
                show_duration(mirror.lasts),
                show_percentage(f64::from(mirror.sample_of_10k) / 10_000.0),
                show_percentage(mirror.at_most)
            ),
            check_fallback(mirror.on_fail),
            Reversible::ReadOnly,
        ),
        Step::Run { exec, on_fail } => (
            format!("run `{}` for at most {}", exec.command.join(" "), show_duration(exec.within)),
            check_fallback(*on_fail),
            Reversible::ReadOnly,
        ),
        Step::Canary(canary) => (
            crate::canary::explain(canary, has_routes),
            "all requests go back to the source at once",
            Reversible::Always,
        ),
        Step::BlueGreen(switch) => (
            format!(
                "send all {}requests to the target at once and watch it for {}, against the \
                 objectives and the source's figures of before: nothing is left to compare it with \
                 at the same moment",
                match &switch.route {
                    Some(route) if route.is_rest() => "remaining ".to_owned(),
                    Some(route) => format!("`{route}` "),
                    None => String::new(),
                },
                show_duration(switch.watch)
            ),
            "all requests go back to the source at once",
            Reversible::Always,
        ),
        Step::Phased(phased) => (
            format!(
                "send all requests to the target, one route after another ({}), and watch each \
                 for {}, against the objectives and the source's figures of before",
                phased.routes.iter().map(RouteName::as_str).collect::<Vec<_>>().join(", "),
                show_duration(phased.each)
            ),
            "the first route that does worse takes all requests back to the source",
            Reversible::Always,
        ),
        Step::Cutover { attempts, retry_after } => (
            format!(
                "hold new work, seal the source, grant the target; at most {} of pause, up to \
                 {attempts} attempts, {} apart",
                show_duration(plan.objectives.write_pause),
                show_duration(*retry_after)
            ),
            "before the grant the attempt is called off and nothing happened; after it `rollback`",
            Reversible::UntilFinish,
        ),
        Step::Shift { target_permille, route } => (
            format!(
                "send {} {} to the target",
                show_permille(*target_permille),
                // Without a route, the whole is for all.
                whose(route.as_ref(), has_routes && *target_permille < 1000)
            ),
            "`rollback`: the weights go back first",
            Reversible::Always,
        ),
        Step::Soak { for_ } => (
            format!("wait and watch for {}", show_duration(*for_)),
            "`rollback` at any time",
            Reversible::ReadOnly,
        ),
        Step::Finish => (
            "end the way back; remove our objects; the source keeps its seal".to_owned(),
            "none: this is the point of no return",
            Reversible::Never,
        ),
    }
}

fn questions(smoke: &Smoke) -> String {
    let asked = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let parts = [
        asked(smoke.requests.len(), "HTTP request", "HTTP requests"),
        asked(smoke.sql.len(), "SQL query", "SQL queries"),
        asked(smoke.tcp.len(), "TCP connect", "TCP connects"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("ask and compare with what is expected: {}", parts.join(", "))
}

fn load_words(load: &Load) -> String {
    let what = match &load.traffic {
        Traffic::Requests { requests, profile } => {
            let most = profile.iter().fold(0.0_f64, |most, part| most.max(part.from).max(part.to));
            let lasts = profile.iter().map(|part| part.lasts).sum();
            format!(
                "send {} different requests to the {} at up to {most} a second, for {}",
                requests.len(),
                load.against.as_str(),
                show_duration(lasts)
            )
        }
        Traffic::AccessLog(log) => format!(
            "send the reads of {} to the {} at {} times their rate",
            log.file.display(),
            load.against.as_str(),
            log.times
        ),
        Traffic::Exec(exec) => return format!("run the load tool `{}`", exec.command.join(" ")),
    };
    let rate = load.limits.error_rate.map(|rate| format!("at most {} fail", show_percentage(rate)));
    let p99 = load.limits.latency_p99.map(|p99| format!("p99 is below {}", show_duration(p99)));
    let limits: Vec<String> = rate.into_iter().chain(p99).collect();
    format!("{what}; {}", limits.join(" and "))
}

fn check_fallback(on_fail: OnFail) -> &'static str {
    match on_fail {
        OnFail::Rollback => "what has moved goes back; pause if nothing has",
        OnFail::Pause => "pause, and say what failed",
        OnFail::Abort => "abort: everything we made is removed",
    }
}

fn replicate(plan: &Plan) -> String {
    let what = if plan.data.include.is_empty() {
        "all schemas".to_owned()
    } else {
        plan.data.include.join(", ")
    };
    let without = match plan.data.exclude.as_slice() {
        [] => String::new(),
        excluded => format!(" without {}", excluded.join(", ")),
    };
    format!(
        "copy schema and rows of {what}{without}, {} tables at a time, then follow the source",
        plan.data.copy_jobs
    )
}
