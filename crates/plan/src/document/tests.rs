use super::*;
use crate::estimate::estimate;
use crate::model::Objectives;
use crate::parse;

const PLAN: &str = include_str!("../../tests/it/design.yaml");

fn measures() -> Measures {
    Measures {
        bytes: Some(12_000_000_000),
        largest_table_bytes: Some(7_000_000_000),
        index_bytes: Some(3_000_000_000),
        read_bytes_per_s: Some(80_000_000),
        write_bytes_per_s: Some(60_000_000),
        change_bytes_per_s: Some(900_000),
        answer_us: Some((310, 420)),
        ..Measures::default()
    }
}

fn made(risks: Option<Vec<Risk>>, measures: &Measures) -> Document {
    let plan = parse("plan.yaml", PLAN).unwrap();
    let estimates = estimate(&plan, measures);
    let around = Surroundings {
        file: "plan.yaml".into(),
        tool: "changeover 0.0.0".into(),
        at: "2026-05-01 12:00 UTC".into(),
        risks,
        promises: vec![("no request fails".into(), true), ("owners are kept".into(), false)],
        tools: vec![Line::new("pg_dump", "15")],
        contradictions: crate::contradictions(
            &plan,
            &estimates,
            measures,
            changeover_types::WallMs(0),
        ),
    };
    document(&plan, &estimates, measures, around)
}

fn risk() -> Risk {
    Risk {
        id: "long_transaction".into(),
        severity: "medium".into(),
        side: Some("source".into()),
        what: "a transaction of <script>alert('x')</script> | [a](http://b) is open".into(),
        why: "the copy waits \"for\" it & holds".into(),
        mitigation: "SELECT pg_terminate_backend(1)".into(),
        owner: Some("database".into()),
        seen: Vec::new(),
        script: Vec::new(),
    }
}

#[test]
fn the_whole_document_as_markdown() {
    insta::assert_snapshot!(markdown(&made(Some(vec![risk()]), &measures())));
}

#[test]
fn the_whole_document_as_html() {
    insta::assert_snapshot!(html(&made(Some(vec![risk()]), &measures())));
}

#[test]
fn what_comes_from_outside_is_escaped_and_nothing_is_loaded() {
    let page = html(&made(Some(vec![risk()]), &measures()));
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{page}");
    for word in ["http-equiv=\"refresh\"", "<link", "<img", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(word), "the page loads something: {word}");
    }
    let text = markdown(&made(Some(vec![risk()]), &measures()));
    assert!(text.contains("\\<script\\>") && text.contains("\\[a\\](http"), "{text}");
}

#[test]
fn nobody_looked_is_not_nothing_found() {
    let unseen = made(None, &Measures::default());
    assert!(markdown(&unseen).contains("Nobody looked"));
    assert!(html(&unseen).contains("nobody looked"));
    let clean = made(Some(Vec::new()), &Measures::default());
    assert!(!markdown(&clean).contains("Nobody looked"));
}

#[test]
fn every_step_has_a_way_back_except_after_finish() {
    let document = made(None, &Measures::default());
    let steps: Vec<&StepWords> = document.phases.iter().flat_map(|phase| &phase.steps).collect();
    let last = steps.last().unwrap();
    assert!(last.recovery.commands.is_empty() && last.path == "finish/finish");
    for step in &steps[..steps.len() - 1] {
        assert!(step.recovery.loses.starts_with("nothing"), "{}", step.path);
        let first = if step.number <= 3 { "changeover abort" } else { "changeover rollback" };
        assert!(step.recovery.commands[0].starts_with(first), "{}", step.path);
    }
}

#[test]
fn what_a_rehearsal_found_stands_beside_the_way_back() {
    let plan = parse("plan.yaml", PLAN).unwrap();
    let path = |index: usize| plan.steps().nth(index).unwrap().path;
    let there = |index| crate::rehearsal::Boundary {
        step: path(index),
        said: way_back(&plan, index).iter().map(|verb| (*verb).to_owned()).collect(),
        moved: index == 4,
        back_ms: 3_000,
        again_ms: 62_000,
        ..Default::default()
    };
    let why = "there are no clients".to_owned();
    let rehearsed = crate::estimate::Earlier {
        origin: "rehearsal of 1 May".into(),
        abort_ms: Some(5_000),
        boundaries: vec![there(0), there(3), there(4)],
        digest: plan.digest.clone(),
        left_out: vec![crate::rehearsal::LeftOut { what: path(1), why }],
        ..Default::default()
    };
    let run = crate::estimate::Earlier { origin: "run of 2 May".into(), ..Default::default() };
    let earlier = vec![rehearsed, run];
    let made = made(None, &Measures { earlier, ..Measures::default() });
    let steps = made.phases.iter().flat_map(|phase| &phase.steps);
    let found: Vec<Option<&str>> = steps.map(|step| step.recovery.rehearsed.as_deref()).collect();
    let requests = "what moved by then are requests, which a rehearsal has not";
    assert_eq!(
        found[..5],
        [
            Some("rehearsed on 1 May: nothing had moved; `abort` took 5.0 s"),
            Some("not rehearsed on 1 May: there are no clients"),
            None,
            Some(&*format!("not rehearsed on 1 May: {requests}")),
            Some("rehearsed on 1 May, took 3.0 s, there again in 1 min 2 s"),
        ]
    );
    for shown in [markdown(&made), html(&made)] {
        assert!(shown.contains("rehearsed on 1 May, took 3.0 s"), "{shown}");
        assert!(shown.contains("not rehearsed on 1 May: there are no clients"), "{shown}");
    }
}

const CONTROLLED: &str = r#"
apiVersion: changeover/v1
kind: Migration
metadata: {name: shop}
source: {http: {upstreams: ["http://10.0.0.5:8080"]}, postgres: {url: {env: A}}}
target: {http: {upstreams: ["http://10.1.0.5:8080"]}, postgres: {url: {env: B}}}
gates: {http: {listen: "127.0.0.1:8080"}}
objectives: {error_rate: 0.1%, deadline: {at: "2026-12-13T05:00:00+01:00", on_reached: rollback}}
guards:
  - {name: lag, metric: relay.lag, below: 30s, on_fail: hold}
  - {name: ours, exec: [./check], on_fail: abort, on_no_data: fail}
  - name: cpu
    prometheus: {url: "http://10.0.0.9:9090", query: 'avg(cpu)'}
    below: 80%
    on_fail: warn
    on_no_data: ignore
phases:
  - {name: copy, steps: [replicate]}
  - name: move
    window: {days: [sat, sun], between: "01:00-05:00", zone: Europe/Berlin}
    approve: {from: [alice, "<bob>", carol], count: 2, within: 2h, self: false, on_timeout: abort}
    steps: [cutover]
"#;

/// Who must approve what, when it may begin, what is watched, and what comes of each.
#[test]
fn who_must_agree_and_what_may_stop_the_run_is_in_every_form() {
    let plan = parse("p", CONTROLLED).unwrap_or_else(|faults| panic!("{faults}"));
    let estimates = estimate(&plan, &Measures::default());
    let made = document(&plan, &estimates, &Measures::default(), Surroundings::default());
    assert!(made.phases[0].entrance.is_empty());
    assert_eq!(made.phases[1].entrance.len(), 2);
    let section = |text: &str, from: &str, to: &str| {
        let text = &text[text.find(from).unwrap()..];
        text[..text.find(to).unwrap()].to_owned()
    };
    let (markdown, html) = (markdown(&made), html(&made));
    let title = "Who must agree, and what may stop the run";
    let shown = [
        section(&markdown, title, "## Milestones"),
        section(&html, title, "<section>"),
        serde_json::to_string_pretty(&made.control).unwrap(),
        section(&markdown, "### move", "2. "),
    ];
    insta::assert_snapshot!(shown.join("\n"));

    // What is called or asked is a tool, in every form.
    let canary = r#"  - name: canary
    steps:
      - canary:
          weights: [5%]
          outside:
            - name: busy
              prometheus: {url: "http://10.0.0.8:9090", query: 'busy{side="$side"}'}
              sides: {source: blue, target: green}
  - name: move
"#;
    let asking = parse("p", &CONTROLLED.replace("  - name: move\n", canary));
    let asking = asking.unwrap_or_else(|faults| panic!("{faults}"));
    let estimated = estimate(&asking, &Measures::default());
    let asking = document(&asking, &estimated, &Measures::default(), Surroundings::default());
    for form in [super::markdown(&asking), super::html(&asking)] {
        for tool in ["canary/canary busy", "Prometheus at http://10.0.0.8:9090", "./check"] {
            assert!(form.contains(tool), "{tool}: {form}");
        }
    }

    let free = plan.phases[..1].to_vec();
    let plan = Plan {
        phases: free,
        guards: Vec::new(),
        objectives: Objectives { deadline: None, ..plan.objectives.clone() },
        ..plan
    };
    let made = document(&plan, &estimates, &Measures::default(), Surroundings::default());
    for form in [super::markdown(&made), super::html(&made)] {
        assert!(form.contains(UNCONTROLLED), "{form}");
    }
}
