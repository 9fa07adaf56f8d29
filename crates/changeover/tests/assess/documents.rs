//! What `changeover plan` says of the example systems, in all four forms, against real servers.
//!
//! What is measured or drawn is masked; how times and their uncertainty are computed is kept in the
//! goldens of `changeover-plan`, which are fed with figures.

use std::fs;

use changeover_plan::estimate::{Span, show_span};
use serde_json::Value;

use crate::mask::mask;
use crate::system::{Said, System};
use crate::upstream::{Answers, clear};

const UP: Answers = Answers {
    status: "200 OK",
    headers: "content-type: application/json\r\n",
    body: r#"{"status":"ok","database":"up","version":"2.4.1"}"#,
    in_time: true,
};

/// A plan in every form, as `system` shows it: text, Markdown, HTML, JSON.
fn planned(system: &System, user: &str, plan: &str, more: &[&str]) -> (Said, [String; 4]) {
    let mut text = fs::read_to_string(system.example(plan)).unwrap();
    let mut names = vec![
        (format!("127.0.0.1:{}", system.source.port()), "old.example:5432"),
        (format!("127.0.0.1:{}", system.target.port()), "new.example:5432"),
        (system.scratch.path().display().to_string(), "<folder>"),
    ];
    // The addresses in the plan are those of the example; here they are this run's.
    for upstream in
        ["10.0.0.5:8080", "10.1.0.5:8080", "10.20.0.11:8080", "10.30.0.11:8080", "10.30.0.12:8080"]
    {
        if text.contains(upstream) {
            let here = clear(UP).to_string();
            text = text.replace(upstream, &here);
            names.push((here, upstream));
        }
    }
    fs::write(system.scratch.path().join("plan.yaml"), text).unwrap();
    let files = ["--document", "plan.md", "--document", "plan.html", "--document", "plan.json"];
    let said = system.changeover(user, &[&["plan", "plan.yaml"][..], &files, more].concat());
    let document: Value = serde_json::from_str(&system.written("plan.json"))
        .unwrap_or_else(|e| panic!("{e}: {}", said.err));
    every_form_says(
        &document,
        &[&said.out, &system.written("plan.md"), &system.written("plan.html")],
    );
    let drawn = [("digest", "<digest>"), ("tool", "<this program>")];
    names.extend(drawn.map(|(key, mask)| (document[key].as_str().unwrap().to_owned(), mask)));
    for tool in document["tools"].as_array().unwrap() {
        let (what, is) = (tool["what"].as_str().unwrap(), tool["is"].as_str().unwrap());
        if what.starts_with("PostgreSQL of") || what.starts_with("pg_dump") {
            names.push((is.to_owned(), "<version>"));
        }
    }
    let html =
        without(&without(&system.written("plan.html"), "<style>", "</style>"), "<svg", "</svg>");
    let forms = [said.out.clone(), system.written("plan.md"), html, system.written("plan.json")];
    // Before the mask takes the day out of the time.
    let at = document["at"].as_str().unwrap();
    let forms = forms.map(|form| settled(&mask(&form.replace(at, "<now>"), &names)));
    (said, forms)
}

/// What a change board asks for is in each form: phases and milestones with their times and how
/// sure those are, who must agree and what may stop the run, the fallback of every step, the point
/// of no return, the way back, the risk register with its mitigations, the tools.
fn every_form_says(document: &Value, forms: &[&str]) {
    let all = |list: &Value| list.as_array().unwrap().clone();
    let said = |of: &Value, key: &str| of[key].as_str().unwrap().to_owned();
    let span = |of: &Value| show_span(serde_json::from_value::<Span>(of.clone()).unwrap());
    let mut items = vec![said(document, "takes"), said(document, "no_return")];
    for phase in all(&document["phases"]) {
        items.extend([said(&phase, "name"), span(&phase["span"]), span(&phase["reached"])]);
        items.extend(all(&phase["entrance"]).iter().map(|it| it.as_str().unwrap().to_owned()));
        for step in all(&phase["steps"]) {
            items.extend(["path", "what", "fallback", "basis"].map(|key| said(&step, key)));
            let taken = &step["span"];
            items.push(if taken.is_null() { "not known".to_owned() } else { span(taken) });
            let back = &step["recovery"];
            items.extend(["what", "loses", "takes"].map(|key| said(back, key)));
            items.extend(all(&back["commands"]).iter().map(|it| it.as_str().unwrap().to_owned()));
        }
    }
    for control in all(&document["control"]) {
        items.extend(["kind", "must", "otherwise"].map(|key| said(&control, key)));
        items.extend(
            ["of", "without_data"].iter().filter_map(|key| Some(control[key].as_str()?.to_owned())),
        );
    }
    for risk in all(&document["risks"]) {
        items.extend(["id", "severity", "what", "mitigation"].map(|key| said(&risk, key)));
    }
    for key in ["objectives", "tools", "measured"] {
        items.extend(all(&document[key]).iter().flat_map(|it| [said(it, "what"), said(it, "is")]));
    }
    assert!(items.len() > 50, "{items:?}");
    for form in forms {
        let form = words(form);
        for item in &items {
            assert!(form.contains(&words(item)), "`{item}` is not in {form}");
        }
    }
}

/// What a reader sees: without markup, in one line.
fn words(text: &str) -> String {
    let mut seen = String::new();
    let mut rest = text;
    // Our own tags; what comes from outside is escaped.
    while let Some((before, after)) = rest.split_once('<') {
        let is_tag = after.starts_with(|c: char| c == '/' || c.is_ascii_lowercase());
        seen.push_str(before);
        match after.split_once('>').filter(|_| is_tag) {
            Some((_, after)) => rest = after,
            None => {
                seen.push('<');
                rest = after;
            }
        }
    }
    seen.push_str(rest);
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    let seen = entities.iter().fold(seen, |seen, (from, to)| seen.replace(from, to));
    let seen = seen.replace(['\\', '`'], "");
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text without what lies between two marks, each of which it must have once.
fn without(text: &str, from: &str, to: &str) -> String {
    let (before, rest) = text.split_once(from).unwrap();
    let (_, after) = rest.split_once(to).unwrap();
    format!("{before}{from}…{to}{after}")
}

/// Spans have many shapes, and columns the width of what is in them.
fn settled(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let key = line.trim_start().split(':').next().unwrap_or_default();
        if ["\"least_ms\"", "\"likely_ms\"", "\"most_ms\""].contains(&key) {
            lines.push(format!("{}: <ms>", line.split(':').next().unwrap_or_default()));
            continue;
        }
        let mut line = line.to_owned();
        for (shape, plain) in [
            ("under <time>", "<time>"),
            ("<time> <time>", "<time>"),
            ("<time> to <time>, likely <time>", "<time>"),
            ("at least <time>, likely <time>", "<time>"),
            ("<time> to <time>", "<time>"),
            ("at least <time>", "<time>"),
            ("likely <time>, nobody can say how long at most", "<time>"),
        ] {
            line = line.replace(shape, plain);
        }
        let (indent, words) = line.split_at(line.len() - line.trim_start().len());
        let mut words = words.to_owned();
        while words.contains("   ") {
            words = words.replace("   ", "  ");
        }
        lines.push(format!("{indent}{words}"));
    }
    lines.join("\n")
}

fn goldens(name: &str, forms: &[String; 4]) {
    for (kind, form) in ["text", "markdown", "html", "json"].iter().zip(forms) {
        insta::assert_snapshot!(format!("{name}_plan_{kind}"), form);
    }
}

/// Nothing fires, and a change board sees when, how long, who, and the way back.
#[test]
fn the_clean_shop_s_plan() {
    let system = System::start("clean-shop");
    let (said, forms) = planned(&system, "postgres", "plan.yaml", &[]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    // Nothing but that its gate does not run yet.
    let (_, register) = forms[1].split_once("## Risk register").unwrap();
    let (register, _) = register.split_once("\n## ").unwrap();
    let risks: Vec<&str> = register.lines().filter(|line| line.contains("| `")).collect();
    assert!(matches!(risks[..], [gate] if gate.contains("`gate_down`")), "{risks:?}");
    goldens("clean_shop", &forms);
}

/// Everything that is wrong is in the register, the plan is refused, and its documents say why.
#[test]
fn the_plan_of_the_system_with_every_risk() {
    let system = System::start("every-risk");
    let (said, forms) = planned(&system, "mover", "plan.yaml", &[]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    assert!(said.err.contains("the migration cannot begin"), "{}", said.err);
    goldens("every_risk", &forms);
}

/// Compose and Terraform files, nginx, HAProxy, systemd and Prometheus around one component's plan.
#[test]
fn the_plan_of_a_component_of_the_multi_service_system() {
    let system = System::of("multi-service", "multi-service/orders-db", "orders");
    let around = system.example("");
    let (said, forms) =
        planned(&system, "postgres", "changeover/orders.yaml", &["--from", &around]);
    // A worker on both sides and a pipeline that owns the switch block, whoever finds them.
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    let forms = forms.map(|form| form.replace(&around, ""));
    for risk in ["R48-switch-in-pipeline", "R41-workers", "materialized_views"] {
        assert!(forms.iter().all(|form| form.contains(risk)), "{risk} is not in every form");
    }
    goldens("multi_service", &forms);

    let program = system.example("changeover/program.yaml");
    let said = system.changeover("postgres", &["plan", &program, "--offline"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
}
