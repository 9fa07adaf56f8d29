//! What of a plan a rehearsal walks through between two throw-away databases, and what it leaves
//! out, with the reason: nothing is left out in silence.

use serde::{Deserialize, Serialize};

use crate::model::checks::{Smoke, SmokeRequest};
use crate::model::{Against, Plan, Step};

/// The way of a rehearsal through a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk {
    /// In the plan's order; each ends at a boundary from which the way back is taken.
    pub stations: Vec<Station>,
    /// In the plan's order.
    pub left_out: Vec<LeftOut>,
}

/// A step that is rehearsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Station {
    /// Among the plan's steps.
    pub index: usize,
    /// Its path in the plan.
    pub path: String,
    /// Its indices: of its phase, and among the phase's steps.
    pub at: (usize, usize),
    /// The step, or what of it can be rehearsed.
    pub step: Step,
    /// Whether it is the whole step, in the plan's own words.
    pub whole: bool,
}

/// Something of the plan that is not rehearsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOut {
    /// A step's path, or what else it is.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What was found at a boundary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Boundary {
    /// The path of the step that was done there.
    pub step: String,
    /// The verbs that the recovery plan names there, in order.
    pub said: Vec<String>,
    /// Whether authority was on the target, so that it had to come back.
    pub moved: bool,
    /// Milliseconds of the way back.
    pub back_ms: u64,
    /// Milliseconds until the run was there again.
    pub again_ms: u64,
    /// Rows of both sides that were compared after the way back; none differed.
    pub rows_compared: Option<u64>,
    /// Writes that had been acknowledged by then, and were all looked for on the source.
    pub writes: u64,
}

impl Boundary {
    /// What happened, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let (back, again, writes) = (self.back_ms, self.again_ms, self.writes);
        let rows = self.rows_compared.map(|rows| format!("; {rows} rows compared, 0 differ"));
        let what = if self.moved { "authority went back" } else { "nothing had moved; back" };
        let rows = rows.unwrap_or_default();
        format!("{what} in {back} ms, there again in {again} ms{rows}; {writes} writes, 0 missing")
    }
}

const NO_CLIENTS: &str = "there are no clients whose requests could be moved";
const NO_HTTP: &str = "the plan names no HTTP target for it: rehearsal: {http: {upstreams: […]}}";
const OTHERS: &str = "neither the source nor the gates are asked in a rehearsal";

/// The way of a rehearsal through this plan.
#[must_use]
pub fn walk(plan: &Plan) -> Walk {
    let mut walk = Walk { stations: Vec::new(), left_out: Vec::new() };
    let has_http = plan.rehearsal.as_ref().is_some_and(|it| it.http.is_some());
    for (index, placed) in plan.steps().enumerate() {
        let (step, why) = part(placed.step, has_http);
        let (path, at, whole) = (placed.path, (placed.phase, placed.index), why.is_none());
        walk.left_out.extend(why.map(|why| LeftOut { what: path.clone(), why }));
        walk.stations.extend(step.map(|step| Station { index, path, at, step, whole }));
    }
    for phase in &plan.phases {
        let mut leave = |is_there: bool, word: &str| {
            let what = format!("{word} of phase {}", phase.name);
            let why = "a rehearsal waits for nobody".to_owned();
            walk.left_out.extend(is_there.then_some(LeftOut { what, why }));
        };
        leave(phase.entrance.window.is_some(), "window");
        leave(phase.entrance.approve.is_some(), "approval");
    }
    for guard in plan.guards.iter().filter(|guard| !guard.objective) {
        let why = "what it watches is the real move's".to_owned();
        walk.left_out.push(LeftOut { what: format!("guard {}", guard.name), why });
    }
    walk
}

/// What of a step can be rehearsed, and why the rest cannot.
fn part(step: &Step, has_http: bool) -> (Option<Step>, Option<String>) {
    let not = |why: &str| (None, Some(why.to_owned()));
    match step {
        Step::Replicate | Step::Verify | Step::Cutover { .. } => (Some(step.clone()), None),
        Step::Smoke(smoke) => questions(smoke, has_http),
        Step::Canary(_)
        | Step::BlueGreen(_)
        | Step::Phased(_)
        | Step::Shift { .. }
        | Step::Mirror(_) => not(NO_CLIENTS),
        Step::Load(_) | Step::Run { .. } if !has_http => not(NO_HTTP),
        Step::Load(load) if load.against != Against::Target => not(OTHERS),
        Step::Load(_) | Step::Run { .. } => (Some(step.clone()), None),
        Step::Soak { .. } => not("there is nothing to watch meanwhile"),
        Step::Finish => not("it ends the way back, which is what is rehearsed"),
    }
}

/// All of it if it asks the target; else its SQL, which is asked of the throw-away databases in
/// the sides' places.
fn questions(smoke: &Smoke, has_http: bool) -> (Option<Step>, Option<String>) {
    let (sql, through_gate): (Vec<_>, Vec<_>) =
        smoke.sql.iter().cloned().partition(|query| query.against != Against::Gate);
    let of_target = smoke.requests.iter().all(|it| it.against == Against::Target);
    if has_http && of_target && through_gate.is_empty() {
        return (Some(Step::Smoke(smoke.clone())), None);
    }
    let request = |it: &SmokeRequest| format!("{} {}", it.request.method, it.request.path);
    let mut left: Vec<String> = smoke.requests.iter().map(request).collect();
    left.extend(smoke.tcp.iter().map(|it| format!("connecting to {}", it.address)));
    left.extend(through_gate.iter().map(|it| format!("`{}` through the gate", it.query)));
    let why = if has_http { OTHERS } else { NO_HTTP };
    let why = (!left.is_empty()).then(|| format!("{}: {why}", left.join(", ")));
    let kept = (!sql.is_empty()).then(|| {
        Step::Smoke(Smoke { requests: Vec::new(), tcp: Vec::new(), sql, ..smoke.clone() })
    });
    (kept, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const PLAN: &str = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: shop}\n\
        source: {http: {upstreams: ['http://a:1']}, postgres: {url: {env: A}}}\n\
        target: {http: {upstreams: ['http://b:1']}, postgres: {url: {env: B}}}\n\
        gates: {http: {listen: '127.0.0.1:1'}, postgres: {listen: '127.0.0.1:2', auth: trust}}\n\
        guards: [{name: lag, metric: relay.lag, below: 30s}]\n\
        phases:\n\
        - {name: copy, steps: [replicate, verify, smoke: {requests: [{path: /a}]}]}\n\
        - name: move\n  \
          approve: {from: [alice, bob]}\n  \
          steps:\n  \
          - canary\n  \
          - mirror: {for: 1m}\n  \
          - cutover\n  \
          - shift: {to: 100%}\n  \
          - smoke:\n      \
              requests: [{path: /b}]\n      \
              sql: [{query: select 1, expect: {rows: 1}}, {query: select 2, against: gate, expect: {rows: 1}}]\n  \
          - load: {profile: {rate: 1/s, for: 1s}, requests: [{path: /}], error_rate: 1%}\n  \
          - run: {command: ['true']}\n  \
          - soak: {for: 1h}\n  \
          - finish\n";

    #[test]
    fn every_step_is_walked_through_or_left_out_by_name_and_with_a_reason() {
        let plan = parse("p", PLAN).unwrap_or_else(|faults| panic!("{faults}"));
        let walk = walk(&plan);
        let walked: Vec<&str> = walk.stations.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(walked, ["copy/replicate", "copy/verify", "move/cutover", "move/smoke"]);
        for (index, placed) in plan.steps().enumerate() {
            let is_left = walk.left_out.iter().any(|it| it.what == placed.path);
            let is_walked = walk.stations.iter().any(|it| it.index == index);
            assert!(is_left || is_walked, "{} is gone", placed.path);
        }
        let why = |what: &str| walk.left_out.iter().find(|it| it.what == what).unwrap().why.clone();
        assert!(why("move/smoke").starts_with("GET /b, `select 2` through the gate: "));
        assert!(!why("approval of phase move").is_empty() && !why("guard lag").is_empty());
        let Step::Smoke(smoke) = &walk.stations[3].step else { panic!("no smoke") };
        assert_eq!((smoke.sql.len(), smoke.requests.len()), (1, 0));
    }

    #[test]
    fn with_an_http_target_it_is_asked_too() {
        let rehearsal = "rehearsal: {http: {upstreams: ['http://c:1']}, postgres: {url: {env: C}}}";
        let text = PLAN.replace("phases:", &format!("{rehearsal}\nphases:"));
        let plan = parse("p", &text).unwrap_or_else(|faults| panic!("{faults}"));
        let walk = walk(&plan);
        let walked: Vec<(&str, bool)> =
            walk.stations.iter().map(|it| (it.path.as_str(), it.whole)).collect();
        let whole = ["copy/replicate", "copy/verify", "copy/smoke", "move/cutover"];
        assert_eq!(walked[..4], whole.map(|path| (path, true)));
        // One of its questions goes through the gate.
        assert_eq!(walked[4..], [("move/smoke", false), ("move/load", true), ("move/run", true)]);
    }
}
