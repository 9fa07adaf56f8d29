//! What people see of a status.

use changeover_engine::protocol::{
    ApprovalStatus, ControlStatus, CutoverStatus, GatesStatus, GuardStatus, ObjectiveStatus,
    RouteStatus, WindowStatus,
};
use changeover_routing::RouteMetrics;
use changeover_run::{Next, Standing, Who};
use changeover_types::{Epoch, RouteName, Side};

use super::*;

fn running(step: &str) -> RunStatus {
    RunStatus {
        name: "shop".into(),
        run_id: "8d3f".into(),
        plan_digest: "00ff".into(),
        pid: 42,
        last_event: 7,
        state: RunState::Running,
        phase: step.split('/').next().map(str::to_owned),
        step: Some(step.into()),
        step_kind: step.rsplit('/').next().and_then(|it| serde_json::from_value(it.into()).ok()),
        steps_done: 1,
        steps: 6,
        authority: Side::Source,
        epoch: Epoch(3),
        target_permille: 55,
        routes: Vec::new(),
        copy: None,
        forward: None,
        reverse: None,
        verify: None,
        check: None,
        canary: None,
        cutover: None,
        type_numbers: None,
        changed: Vec::new(),
        gates: None,
        control: ControlStatus::default(),
    }
}

fn copy() -> CopyStatus {
    CopyStatus {
        tables_done: 3,
        tables: 12,
        rows: 512_345,
        rows_estimated: 1_000_000,
        bytes: 123_456_789,
        bytes_per_s: 41_200_000,
        eta_s: Some(140),
        stage: "rows".into(),
        ..CopyStatus::default()
    }
}

fn relay() -> RelayStatus {
    RelayStatus {
        lag_bytes: 65_536,
        lag_ms: Some(120),
        applied_tx: 15_000,
        changes_per_s: 2_300,
        segment_open: true,
    }
}

#[test]
fn every_step_says_what_it_does() {
    let mut copying = running("copy/replicate");
    copying.copy = Some(copy());
    let mut indexes = copying.clone();
    indexes.copy = Some(CopyStatus { stage: "indexes".into(), ..copy() });
    let mut catching_up = copying.clone();
    catching_up.copy = Some(CopyStatus { tables_done: 12, ..copy() });
    catching_up.forward = Some(relay());
    let mut verifying = running("copy/verify-2");
    verifying.step_kind = Some(StepKind::Verify);
    verifying.verify = Some(VerifyStatus {
        tables_done: 5,
        tables: 12,
        rows_compared: 400_000,
        rows_different: 2,
        ..VerifyStatus::default()
    });
    let mut canary = running("canary/canary");
    canary.canary = Some(CanaryStatus {
        weight_permille: 55,
        routes: Vec::new(),
        remaining_ms: 4_200,
        target_requests: 1_200,
        target_errors: 3,
        target_late: 2,
        left_ms: Some(130_000),
        source_p99_us: Some(12_300),
        target_p99_us: Some(9_050),
        against: Some("3.2 to 1 by failures".into()),
        back_at: Some(500.0),
        waiting_for: Some("4 s more at this share".into()),
        outside: vec![OutsideStatus {
            name: "cpu".into(),
            seen: "the target's value was above the source's in 3 of 5 pairs, last 0.5 against 0.4"
                .into(),
            against: 1.26,
            back_at: 600.0,
            silent: Some("target: http://p:9090: the query gives no series".into()),
        }],
        until: Some(WallMs(1_782_000_000_000)),
        late: false,
    });
    let mut cutover = running("cutover/cutover");
    cutover.cutover = Some(CutoverStatus {
        attempts: 2,
        last_called_off: Some("psql from 127.0.0.1 is in transaction".into()),
        ..CutoverStatus::default()
    });
    let mut paused = running("copy/verify");
    paused.state = RunState::Paused { reason: "2 rows differ".into(), next_command: Next::Verify };
    let mut done = running("x");
    (done.step, done.phase, done.state) = (None, None, RunState::Done { alarms: Vec::new() });
    let all = [copying, indexes, catching_up, verifying, canary, cutover, paused, done];
    let shown: Vec<String> =
        all.iter().map(|s| format!("{} {:?}", activity(s), amount(s))).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn the_table_has_every_part() {
    let mut status = running("cutover/shift");
    status.state = RunState::Paused { reason: "the gate is gone".into(), next_command: Next::Gate };
    status.copy = Some(copy());
    status.forward = Some(relay());
    status.reverse = Some(RelayStatus { segment_open: false, lag_ms: None, ..relay() });
    status.cutover = Some(CutoverStatus {
        attempts: 1,
        last_called_off: None,
        write_pause_ms_max: Some(87),
        longest_wait_ms: Some(91),
        proof: Some(ProofStage::Lost),
    });
    status.gates = Some(GatesStatus { reachable: false, ..GatesStatus::default() });
    insta::assert_snapshot!(lines(&table(&status)));
}

#[test]
fn each_route_has_its_share_and_its_figures() {
    let name = |text| RouteName::new(text).unwrap();
    let mut status = running("search/canary");
    let share = |route, target_permille| RouteStatus { name: name(route), target_permille };
    status.routes = vec![share("search", 105), share("rest", 0)];
    status.canary = Some(CanaryStatus {
        weight_permille: 105,
        routes: vec![name("search")],
        target_requests: 1_200,
        ..CanaryStatus::default()
    });
    let seen = |requests, errors| RouteMetrics { requests, errors };
    let search = [(Side::Source, seen(9_000, 9)), (Side::Target, seen(1_200, 0))].into();
    let rest = [(Side::Source, seen(0, 0)), (Side::Target, seen(0, 0))].into();
    let routes = [(name("search"), search), (name("rest"), rest)].into();
    status.gates = Some(GatesStatus { reachable: true, routes, ..GatesStatus::default() });
    let doing =
        "search/canary: 10.5 % of search on the target, 1\u{202f}200 requests there, 0 failed";
    assert_eq!(activity(&status), doing);
    let rows = table(&status);
    let row = |label| rows.iter().find(|(it, _)| *it == label).map(|(_, value)| &**value);
    assert_eq!(row("requests"), Some("search 10.5 %, rest 0 % to the target"));
    let seen = "search 9\u{202f}000 on the source (0.10 % failed) and 1\u{202f}200 on the target (0.00 % failed)";
    assert_eq!(row("routes"), Some(seen));
}

#[test]
fn times_and_sizes() {
    assert_eq!(instant(WallMs(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
    assert_eq!(clock(WallMs(1_700_000_000_123)), "22:13:20Z");
    assert_eq!(instant(WallMs(u64::MAX)), u64::MAX.to_string());
    assert_eq!(
        (bytes(999), bytes(1_500), bytes(2_000_000)),
        ("999 B".into(), "1.5 kB".into(), "2.0 MB".into())
    );
    assert_eq!(seconds(7_260), "2 h 1 min");
    assert_eq!(share(55), "5.5 %");
}

#[test]
fn people_clocks_and_guards_have_their_rows() {
    let mut status = running("cutover/cutover");
    status.state = RunState::Paused { reason: "dinner".into(), next_command: Next::Resume };
    let guard = |name: &str, is, seen: &str, holds| GuardStatus {
        name: name.into(),
        is,
        seen: seen.into(),
        holds,
    };
    status.control = ControlStatus {
        paused_by: Some(Who { user: "deploy".into(), name: Some("alice".into()) }),
        approval: Some(ApprovalStatus {
            step: "cutover/cutover".into(),
            needed: 2,
            from: vec!["alice".into(), "bob".into(), "carol".into()],
            given: vec!["bob".into()],
            facts: "00ff".into(),
            expires: WallMs(1_800_000_000_000),
        }),
        window: Some(WindowStatus {
            opens: WallMs(1_799_990_000_000),
            closes: WallMs(1_800_000_000_000),
        }),
        guards: vec![
            guard("lag", Some(Standing::Good), "0.2 s", false),
            guard("cpu", Some(Standing::NoData), "connection refused", true),
            guard("late", None, "", false),
        ],
        objectives: [
            ("write pause", Some("161 ms"), Some(true)),
            ("errors", Some("9 of 10"), Some(false)),
            ("latency", None, None),
        ]
        .map(|(name, seen, met)| ObjectiveStatus {
            name: name.into(),
            asked: "at most so much".into(),
            seen: seen.map(Into::into),
            met,
        })
        .into(),
        ..ControlStatus::default()
    };
    insta::assert_snapshot!(lines(&table(&status)));
}
