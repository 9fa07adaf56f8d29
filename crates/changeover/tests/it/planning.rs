//! What happens before a run: documents, measured estimates, saved plans.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::faults::program::{Said, changeover, has, ours};
use crate::stage::postgres_session::execute;
use crate::stage::{Gate, Pair, PlanText, Stage};

const COPY: &str = "phases:\n  - {name: copy, steps: [replicate]}\n";

struct Desk<'a> {
    stage: &'a Stage,
    folder: PathBuf,
}

impl<'a> Desk<'a> {
    fn new(stage: &'a Stage) -> Desk<'a> {
        Desk { stage, folder: stage.plan.parent().unwrap().to_owned() }
    }

    fn says(&self, args: &[&str], code: i32) -> Said {
        // What these tests are about is no risk.
        let more: &[&str] =
            if args.first() == Some(&"plan") { &["--fail-on", "blocker"] } else { &[] };
        let said = changeover(&self.folder, &[args, more].concat(), &[]);
        assert_eq!(said.code, Some(code), "{args:?}: {}\n{}", said.all(), self.stage.report());
        said
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }
}

#[test]
fn a_plan_is_measured_and_written_for_a_change_board_without_changing_anything() {
    let pair = Pair::start("board");
    let stage = Stage::new(&pair, "board", &PlanText::new(Gate::Postgres));
    let desk = Desk::new(&stage);
    let said = desk.says(&["plan", "plan.yaml", "--document", "board.html"], 0);
    has(
        &said.out,
        &["Milestones", "The way back", "changeover rollback plan.yaml", "lost: nothing"],
    );
    has(&said.out, &["one session reads on the source", "one session writes on the target"]);
    has(&said.out, &["pg_dump and pg_restore", "PostgreSQL of the target"]);
    let page = desk.read("board.html");
    has(&page, &["<!doctype html>", "<svg", "Risk register", "changeover abort plan.yaml"]);
    let said = desk.says(&["plan", "plan.yaml", "--no-sample", "--format", "json"], 0);
    let document: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(document["phases"][0]["steps"][0]["span"], Value::Null, "known without measuring");
    assert!(document["risks"].is_array(), "{document}");
    let said = desk.says(&["plan", "plan.yaml", "--offline", "--format", "markdown"], 0);
    has(&said.out, &["# Change plan: board", "Nobody looked"]);
    desk.says(&["plan", "plan.yaml", "--offline", "--document", "board.pdf"], 1);
    assert!(!stage.state_dir().exists(), "`plan` left something");
    for url in [&stage.source, &stage.target] {
        assert_eq!(ours(url, "board"), "0");
    }
}

#[test]
fn a_saved_plan_is_refused_when_its_facts_drifted_and_used_once() {
    let pair = Pair::start("savedplan");
    let stage = Stage::new(&pair, "savedplan", &PlanText::new(Gate::None).phases(COPY));
    let desk = Desk::new(&stage);
    desk.says(&["plan", "plan.yaml", "--detailed-exitcode"], 2);
    let said = desk.says(&["plan", "plan.yaml", "--out", "saved.json"], 0);
    has(&said.out, &["changeover apply saved.json"]);
    let mode = fs::metadata(desk.folder.join("saved.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let saved = desk.read("saved.json");
    assert!(!saved.contains("127.0.0.1"), "an address, and maybe a password, is in it: {saved}");
    // It is not written over, for somebody may have approved it.
    desk.says(&["plan", "plan.yaml", "--out", "saved.json"], 1);

    // Ordinary growth is no drift; a column is, and so is a setting.
    execute(&stage.source, "INSERT INTO line (writer, seq, kind) VALUES (90, 1, 0)");
    execute(&stage.source, "ALTER TABLE line ADD COLUMN colour text DEFAULT 'hunter2'");
    execute(&stage.target, "CREATE TABLE surprise (id int PRIMARY KEY)");
    let said = desk.says(&["apply", "saved.json", "--yes"], 6);
    has(&said.err, &["stale", "new: source public.line column colour"]);
    has(&said.err, &["new: target public.surprise table", "plan.yaml --out"]);
    assert!(!said.err.contains("hunter2"), "a default's value is shown: {}", said.err);
    assert!(stage.journal().is_empty(), "a refused plan began something");
    execute(&stage.source, "ALTER TABLE line DROP COLUMN colour");
    execute(&stage.target, "DROP TABLE surprise");

    // A changed plan is another plan.
    let plan = desk.read("plan.yaml");
    fs::write(&stage.plan, plan.replace("write_pause: 3s", "write_pause: 4s")).unwrap();
    let said = desk.says(&["apply", "saved.json", "--yes"], 6);
    has(&said.err, &["changed: the plan's file"]);
    fs::write(&stage.plan, plan).unwrap();

    // A dropped column leaves its number behind, so what is there now is saved anew.
    desk.says(&["plan", "plan.yaml", "--out", "anew.json"], 0);
    desk.says(&["apply", "anew.json", "--yes"], 0);
    let said = desk.says(&["apply", "anew.json", "--yes"], 6);
    has(&said.err, &["used already", "changeover apply"]);
    desk.says(&["apply", "plan.yaml", "--yes"], 0);
    desk.says(&["plan", "plan.yaml", "--offline", "--detailed-exitcode"], 0);

    // What the run took is what the next plan expects.
    let said = desk.says(&["plan", "plan.yaml", "--offline"], 0);
    has(&said.out, &["measured by the run of"]);

    desk.says(&["abort", "plan.yaml", "--yes"], 0);
    // Used is used, also after the run was removed.
    let said = desk.says(&["apply", "anew.json", "--yes"], 6);
    has(&said.err, &["used already"]);
}

#[test]
fn a_saved_plan_that_is_expired_cut_short_or_without_its_plan_is_refused() {
    let pair = Pair::start("expired");
    let stage = Stage::new(&pair, "expired", &PlanText::new(Gate::None).phases(COPY));
    let desk = Desk::new(&stage);
    desk.says(&["plan", "plan.yaml", "--out", "short.json", "--valid-for", "1ms"], 0);
    let said = desk.says(&["apply", "short.json", "--yes"], 6);
    has(&said.err, &["it could be applied until", "--out"]);
    desk.says(&["plan", "plan.yaml", "--out", "x.json", "--valid-for", "0s"], 64);
    desk.says(&["plan", "plan.yaml", "--out", "saved.json"], 0);
    let saved = desk.read("saved.json");
    fs::write(desk.folder.join("cut.json"), &saved[..saved.len() / 2]).unwrap();
    let said = desk.says(&["apply", "cut.json", "--yes"], 1);
    has(&said.err, &["cut short or edited"]);
    let id: Value = serde_json::from_str(&saved).unwrap();
    let evil = saved.replace(id["id"].as_str().unwrap(), "../../x");
    fs::write(desk.folder.join("evil.json"), evil).unwrap();
    desk.says(&["apply", "evil.json", "--yes"], 1);
    fs::rename(&stage.plan, desk.folder.join("gone.yaml")).unwrap();
    let said = desk.says(&["apply", "saved.json", "--yes"], 6);
    has(&said.err, &["is gone"]);
    assert!(stage.journal().is_empty());
}
