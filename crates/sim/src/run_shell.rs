//! The shell of one run, for which everything works and which may die between any two records.

use changeover_cutover as cutover;
use changeover_plan::Plan;
use changeover_run::{Command, Input, State, apply, decide};
use changeover_types::{CheckCase, CheckReport, Epoch, Lsn, WallMs};

/// Two sides and an HTTP gate; what the plan says besides is its user's.
const HEAD: &str = r#"
apiVersion: changeover/v1
kind: Migration
metadata: {name: shop}
source:
  http: {upstreams: ["http://127.0.0.1:8081"]}
  postgres: {url: "postgresql://postgres@127.0.0.1:5001/shop"}
target:
  http: {upstreams: ["http://127.0.0.1:8082"]}
  postgres: {url: "postgresql://postgres@127.0.0.1:5002/shop"}
"#;
const GATE: &str = "gates:\n  http:\n    listen: \"127.0.0.1:8080\"";

/// A plan that says this besides its two sides.
///
/// # Panics
/// If it has faults.
#[must_use]
pub fn plan(rest: &str) -> Plan {
    plan_with_gate(&format!("\n{rest}"))
}

/// The same, beginning with what it says of the HTTP gate.
///
/// # Panics
/// If it has faults.
#[must_use]
pub fn plan_with_gate(rest: &str) -> Plan {
    let text = format!("{HEAD}{GATE}{rest}");
    changeover_plan::parse("plan.yaml", &text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The answer of a shell for which everything works.
#[must_use]
pub fn success(command: &Command) -> Input {
    match command {
        Command::Install => Input::Installed { facts: String::new() },
        Command::Copy => Input::Copied { rows: 1, bytes: 1, took_ms: 1, definitions: None },
        Command::Build => Input::Built { tasks: vec![], definitions: None },
        Command::Verify | Command::MakeUpForProof => Input::Verified { rows: 1, different: 0 },
        Command::Check { .. } => checked(&[]),
        Command::Wait { .. } => Input::Waited,
        Command::CheckWayBack { .. } => Input::WayBack { against: vec![] },
        Command::LookAtFacts | Command::WatchFacts => {
            Input::Catalogue { catalogue: Some("as it was".into()) }
        }
        Command::BeginCutover { to } => Input::Cutover(cutover::Input::Begin {
            to: *to,
            highest_seen: Epoch(1),
            write_pause_ms: 500,
        }),
        Command::Cutover(cutover::Command::Prepare) => {
            Input::Cutover(cutover::Input::Prepared { lease: ident() })
        }
        Command::Cutover(cutover::Command::Seal) => {
            Input::Cutover(cutover::Input::SealCommitted { lsn: Lsn(1), unsealer: Some(ident()) })
        }
        Command::Cutover(cutover::Command::ResolveSeal { .. }) => {
            Input::Cutover(cutover::Input::SealResolved { committed: true })
        }
        _ => Input::Done,
    }
}

/// The outcome of a check with these failures.
#[must_use]
pub fn checked(failures: &[&str]) -> Input {
    let failures = failures.iter().map(|f| (*f).to_owned()).collect();
    let cases = vec![CheckCase { name: "asked".into(), failures, ..CheckCase::default() }];
    Input::Checked { report: CheckReport { cases, ..CheckReport::default() } }
}

fn ident() -> cutover::BackendIdent {
    cutover::BackendIdent { pid: 1, backend_start: String::new() }
}

/// The state after an input; the same if it is refused.
#[must_use]
pub fn after(state: &State, plan: &Plan, input: &Input, now: WallMs) -> State {
    let mut next = state.clone();
    if let Ok(events) = decide(state, plan, input, now) {
        events.iter().for_each(|event| apply(&mut next, event));
    }
    // Epochs count up for ever; what matters is their order, which the cutover's model checks.
    next.cutover.highest = next.cutover.highest.min(Epoch(40));
    next
}

/// The process dies between two records of one decision and comes back (P6); `now` says when an
/// input comes.
pub fn cut_short(
    state: &State,
    plan: &Plan,
    input: &Input,
    now: impl Fn(&State, &Input) -> WallMs,
) -> Vec<State> {
    let events = decide(state, plan, input, now(state, input)).unwrap_or_default();
    (1..events.len())
        .map(|written| {
            let mut next = state.clone();
            events[..written].iter().for_each(|event| apply(&mut next, event));
            after(&next, plan, &Input::Restarted, now(&next, &Input::Restarted))
        })
        .collect()
}

/// Two states that differ only in the numbers of their epochs, or in the salts of canaries that are
/// over, are the same for a run.
#[must_use]
pub fn without_epochs(state: &State) -> State {
    let mut shape = state.clone();
    shape.cutover.highest = Epoch(0);
    shape.cutover.authority_epoch = Epoch(0);
    shape.cutover.last = None;
    if let Some(proof) = &mut shape.proof {
        proof.epoch = Epoch(0);
    }
    if let Some(attempt) = &mut shape.cutover.attempt {
        attempt.epoch = Epoch(0);
    }
    let newest = state.newest_salt;
    let is_newest = |salt: &mut u64| *salt = u64::from(*salt == newest);
    is_newest(&mut shape.newest_salt);
    is_newest(&mut shape.split.salt);
    shape.split.own.values_mut().for_each(|share| is_newest(&mut share.salt));
    if let Some(before) = &mut shape.before_rollback {
        // Where it was to rest is put back as it was; it makes no other states meanwhile.
        before.until = None;
        is_newest(&mut before.split.salt);
        before.split.own.values_mut().for_each(|share| is_newest(&mut share.salt));
    }
    shape
}
