//! Plans that are right.

use std::time::Duration;

use changeover_types::WallMs;

use changeover_plan::{
    Against, ClientAuth, Expect, Outcome, Reversible, SecretRef, Standbys, StatusRange, Step,
    TemplateKind, Unmovable, explain, parse, show_instant, template,
};

/// The plan of the design, without what is not built yet.
const DESIGN: &str = include_str!("design.yaml");

#[test]
fn every_template_is_a_sound_plan() {
    for kind in [TemplateKind::Service, TemplateKind::Database, TemplateKind::Http] {
        let plan = parse("changeover.yaml", template(kind));
        assert!(plan.is_ok(), "{kind:?}:\n{}", plan.unwrap_err());
    }
}

#[test]
fn the_example_of_the_design_is_read_in_full() {
    let plan = parse("plan.yaml", DESIGN).unwrap();
    assert_eq!(plan.name.as_str(), "shop");
    assert_eq!(plan.owner.as_deref(), Some("team-shop"));
    assert_eq!(plan.ticket.as_deref(), Some("OPS-42"));
    assert_eq!(plan.objectives.error_rate, Some(0.001));
    assert_eq!(plan.objectives.latency_p99, Some(Duration::from_millis(250)));
    assert_eq!(plan.objectives.write_pause, Duration::from_millis(500));
    let source = plan.source.postgres.as_ref().unwrap();
    assert_eq!(source.url, SecretRef::Env("OLD_DATABASE_URL".into()));
    assert_eq!(source.standbys, Standbys::NotPromotable);
    let target = plan.target.http.as_ref().unwrap();
    assert_eq!(target.upstreams, ["http://10.1.0.5:8080", "http://10.1.1.5:8080"]);
    let gate = plan.gates.postgres.as_ref().unwrap();
    assert_eq!((gate.auth, gate.unmovable), (ClientAuth::Scram, Unmovable::Wait));
    assert_eq!(gate.users[0].name, "app");
    assert_eq!(plan.gates.http.as_ref().unwrap().sticky_cookie.as_deref(), Some("shop_side"));
    assert_eq!(plan.data.include, ["public", "billing"]);
    assert_eq!(plan.data.reverse_keep, Duration::from_secs(72 * 3600));
    let paths: Vec<String> = plan.steps().map(|step| step.path).collect();
    assert_eq!(
        paths,
        [
            "copy/replicate",
            "copy/verify",
            "copy/smoke",
            "canary/canary",
            "cutover/cutover",
            "cutover/shift",
            "cutover/smoke",
            "cutover/smoke-2",
            "watch/soak",
            "finish/finish"
        ]
    );
    let Some(Step::Smoke(smoke)) = plan.step_at("copy/smoke") else { panic!("no smoke step") };
    assert_eq!(smoke.against, Against::Target);
    let ok = StatusRange { from: 200, to: 200 };
    assert_eq!(smoke.requests[0].expect.status, [ok]);
    assert_eq!(
        (&smoke.requests[0].request.method[..], smoke.requests[0].against),
        ("GET", Against::Target)
    );
    assert_eq!((&smoke.sql[0].expect, smoke.sql[0].against), (&Expect::Rows(1), Against::Source));
    assert_eq!(plan.path_of(2, 3).as_deref(), Some("cutover/smoke-2"));
    assert_eq!(plan.path_of(2, 9), None);
}

#[test]
fn a_plan_without_phases_gets_the_usual_ones() {
    let paths = |text: &str| {
        let plan = parse("p", text).unwrap_or_else(|faults| panic!("{faults}"));
        plan.steps().map(|step| step.path).collect::<Vec<_>>()
    };
    let database = "source: {postgres: {url: {env: A}}}\ntarget: {postgres: {url: {env: B}}}\n";
    let http = "source: {http: {upstreams: ['http://a']}}\ntarget: {http: {upstreams: ['http://b']}}\n\
                gates: {http: {listen: '127.0.0.1:1'}}\n";
    let head = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: x}\n";
    assert_eq!(
        paths(&format!("{head}{database}")),
        ["copy/replicate", "copy/verify", "cutover/cutover", "verify/verify"]
    );
    assert_eq!(paths(&format!("{head}{http}")), ["canary/canary", "cutover/shift", "watch/soak"]);
    assert_eq!(
        paths(template(TemplateKind::Service)),
        [
            "copy/replicate",
            "copy/verify",
            "canary/canary",
            "cutover/cutover",
            "cutover/shift",
            "verify/verify",
            "watch/soak"
        ]
    );
}

#[test]
fn json_is_a_plan_too() {
    let text = r#"{"apiVersion": "changeover/v1", "kind": "Migration", "metadata": {"name": "x"},
      "source": {"postgres": {"url": {"env": "A"}}},
      "target": {"postgres": {"url": "postgres://u@h:5433/db"}}}"#;
    let plan = parse("plan.json", text).unwrap();
    let url = plan.target.postgres.unwrap().url;
    assert_eq!(url, SecretRef::Inline("postgres://u@h:5433/db".into()));
}

#[test]
fn conditions_are_read_in_full() {
    let text = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: x}
objectives: {error_rate: 1%, deadline: {at: 2026-12-13T05:00:00+01:00, on_reached: abort}}
source: {http: {upstreams: ['http://a']}}\ntarget: {http: {upstreams: ['http://b']}}
gates: {http: {listen: '127.0.0.1:1'}}
guards:
  - {name: errors, metric: gate.error_rate, compare: {to: source, at_most: 1.1x}, on_fail: hold}
  - {name: cpu, prometheus: {url: 'http://prom:9090/', query: cpu}, below: 80%, for: 2m}
  - {name: mine, exec: [./check, 7], on_no_data: fail, on_fail: warn}
phases:
  - name: all
    window: {days: [sat], between: '22:00-02:30', zone: UTC}
    approve: {from: [alice, bob], count: 2, within: 2h, self: false, on_timeout: rollback}
    steps: [shift: {to: 100%}]
";
    let plan = parse("p", text).unwrap_or_else(|faults| panic!("{faults}"));
    let deadline = plan.objectives.deadline.unwrap();
    assert_eq!((deadline.at.0, deadline.on_reached), (1_797_134_400_000, Outcome::Abort));
    let rules: Vec<(String, String)> =
        plan.guards.iter().map(|guard| (guard.rule(), guard.consequence())).collect();
    insta::assert_debug_snapshot!(rules);
    let entrance = &plan.phases[0].entrance;
    let approve = entrance.approve.as_ref().unwrap();
    assert_eq!((approve.count, approve.self_, approve.on_timeout), (2, false, Outcome::Rollback));
    assert_eq!(approve.within, Duration::from_secs(7200));
    let window = entrance.window.as_ref().unwrap();
    // A Saturday evening, and the Sunday morning that belongs to it.
    let evening = WallMs(1_797_112_800_000);
    assert_eq!(show_instant(window.opening(evening).opens), "2026-12-12T22:00:00Z");
    assert_eq!(show_instant(window.opening(evening).closes), "2026-12-13T02:30:00Z");
}

#[test]
fn the_digest_follows_the_meaning() {
    let plan = |text: &str| parse("p", text).unwrap().digest;
    let text = template(TemplateKind::Service);
    let digest = plan(text);
    assert_eq!(digest.len(), 64);
    let comments = text.replace("# 100", "").replace("kind: Migration", "kind:   'Migration' # x");
    assert_eq!(plan(&comments), digest);
    assert_ne!(plan(&text.replace("500ms", "501ms")), digest);
    assert_ne!(plan(&text.replace("[5%, 25%, 50%]", "[5%, 25%]")), digest);
}

#[test]
fn explains_every_step() {
    let plan = parse("plan.yaml", DESIGN).unwrap();
    let explained = explain(&plan);
    assert_eq!(explained.len(), plan.steps().count());
    assert_eq!(explained.last().unwrap().reversible, Reversible::Never);
    let text: Vec<String> = explained
        .iter()
        .map(|step| {
            format!("{} [{:?}]\n  {}\n  {}", step.path, step.reversible, step.what, step.fallback)
        })
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

/// Whoever approves a plan reads what a metric from outside can and cannot say.
#[test]
fn a_canary_s_metrics_and_time_limit_are_told_with_their_claim() {
    let text = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: x}\n\
                source: {http: {upstreams: ['http://a:1']}}\n\
                target: {http: {upstreams: ['http://b:1']}}\n\
                gates: {http: {listen: '127.0.0.1:1'}}\n\
                phases: [{name: a, steps: [{canary: {within: 2h, on_timeout: rollback, outside: \
                [{name: cpu, prometheus: {url: 'http://p:1', query: 'rate(x{s=\"$side\"}[1m])'}}]}}]}]\n";
    let plan = parse("plan.yaml", text).unwrap_or_else(|faults| panic!("{faults}"));
    let what = explain(&plan)[0].what.clone();
    let told = "; also judged, from outside, by cpu (worse if higher by more than 10 %, a pair every \
                1m; without values for 5m: it stays at its share and says so): these can take it \
                back and prove nothing, and the probability holds for them only if each pair of \
                values is as likely to fall either way; if it is not through within 2h, all \
                requests go back";
    assert!(what.ends_with(told), "{what}");
}
