//! `rehearse`: everything is carried out, measured, and gone afterwards, whatever happens.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::faults::program::{Said, ask, changeover, has};
use crate::gates::web::Upstream;
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

/// A plan on the stage's source that names a throw-away database on the target's server.
fn rehearsable<'a>(pair: &Pair, stage: &'a Stage, name: &str, http: &str) -> Desk<'a> {
    let throwaway = format!("{name}_throwaway");
    execute(&pair.green.url("postgres"), &format!("CREATE DATABASE {throwaway}"));
    let url = pair.green.url(&throwaway);
    let plan = fs::read_to_string(&stage.plan).unwrap();
    fs::write(&stage.plan, format!("{plan}rehearsal: {{{http}postgres: {{url: \"{url}\"}}}}\n"))
        .unwrap();
    let folder = stage.plan.parent().unwrap().to_owned();
    let server = pair.green.url("postgres");
    Desk { stage, folder, url, server, name: name.to_owned() }
}

struct Desk<'a> {
    stage: &'a Stage,
    folder: PathBuf,
    /// The throw-away database.
    url: String,
    /// Its server.
    server: String,
    name: String,
}

impl Desk<'_> {
    fn says(&self, args: &[&str], code: i32) -> Said {
        let said = changeover(&self.folder, args, &[]);
        assert_eq!(said.code, Some(code), "{args:?}: {}\n{}", said.all(), self.stage.report());
        said
    }

    /// Nothing of ours on the source, the throw-away database empty, its twin gone, no folders.
    fn nothing_is_left(&self) {
        let ours = "SELECT (SELECT count(*) FROM pg_replication_slots) \
             + (SELECT count(*) FROM pg_publication) \
             + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!changeover%') \
             + (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'changeover%')";
        assert_eq!(query_one(&self.stage.source, ours), "0", "on the source");
        assert_eq!(query_one(&self.url, ours), "0", "in the throw-away database");
        let relations = "SELECT count(*) FROM pg_class c JOIN pg_namespace n \
             ON n.oid = c.relnamespace WHERE nspname NOT LIKE 'pg_%' \
             AND nspname <> 'information_schema'";
        assert_eq!(query_one(&self.url, relations), "0", "the throw-away database is not empty");
        let twins = "SELECT count(*) FROM pg_database WHERE datname LIKE 'changeover_rehearsal%'";
        assert_eq!(query_one(&self.server, twins), "0", "the second database is still there");
        for what in ["copy", "move"] {
            let folder = self.folder.join(format!("state/{}-rehearse-{what}", self.name));
            assert!(!folder.exists(), "{} is still there", folder.display());
        }
    }
}

#[test]
fn a_rehearsal_moves_writes_goes_back_measures_and_leaves_nothing_behind() {
    let pair = Pair::start("rehearse");
    let upstreams = ["blue", "green", "throwaway"].map(Upstream::start);
    let one = "sql: [{query: 'SELECT count(*) FROM customer', expect: {value: 600}}]";
    let load = "{profile: {rate: 20/s, for: 1s}, requests: [{path: /}], latency_p99: 1m}";
    let run = "[sh, -c, 'test -e plan.yaml && echo $CHANGEOVER_REHEARSAL_HTTP >> asked']";
    let plan = PlanText::new(Gate::Both)
        .upstreams(&upstreams[0].url(), &upstreams[1].url())
        .phases(&format!(
            "phases:\n  \
             - {{name: copy, steps: [replicate, verify]}}\n  \
             - name: look\n    \
               steps: [smoke: {{{one}, file: smoke.yaml}}, load: {load}, run: {{command: {run}}}]\n  \
             - {{name: cutover, steps: [{{cutover: {{attempts: 5, retry_after: 1s}}}}, shift: {{to: 100%}}]}}\n  \
             - {{name: check, steps: [soak: {{for: 1s}}, verify, smoke: {{against: gate, {one}}}]}}\n"
        ));
    let mut stage = Stage::new(&pair, "rehearse", &plan);
    fs::write(stage.plan.with_file_name("smoke.yaml"), "requests: [{path: /}]\n").unwrap();
    stage.start_gate();
    let http = format!("http: {{upstreams: [\"{}\"]}}, ", upstreams[2].url());
    let desk = rehearsable(&pair, &stage, "rehearse", &http);
    let before = query_one(&stage.source, "SELECT count(*) FROM line");
    let said = desk.says(&["rehearse", "plan.yaml"], 0);
    has(&said.out, &["nothing is left of it", "copy/replicate", "cutover/cutover", "rollback"]);
    has(&said.out, &["0 missing", "through the gate: neither", "there is nothing to watch"]);
    has(&said.out, &["plan: abort\n", "plan: rollback, then abort\n", "authority went back in"]);
    desk.nothing_is_left();
    // What takes the target's place was asked, the target not; and the command knew.
    assert!(upstreams[2].served() > 20);
    assert_eq!(upstreams[1].served(), 0);
    let asked = fs::read_to_string(desk.folder.join("asked")).unwrap();
    assert_eq!(asked.lines().collect::<Vec<_>>(), [upstreams[2].url()]);
    // The source was never sealed: it can be written to, and is as it was.
    execute(&stage.source, "INSERT INTO line (writer, seq, kind) VALUES (80, 1, 0)");
    let after = query_one(&stage.source, "SELECT count(*) - 1 FROM line");
    assert_eq!(after, before);
    let file = desk.folder.join("state/rehearse/measurements.json");
    let measured: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let steps = measured[0]["steps"].as_object().unwrap();
    let paths: Vec<&str> = steps.keys().map(String::as_str).collect();
    let rehearsed = [
        "check/verify",
        "copy/replicate",
        "copy/verify",
        "cutover/cutover",
        "look/load",
        "look/run",
        "look/smoke",
    ];
    assert_eq!(paths, rehearsed);
    all_boundaries_are_rehearsed(&measured[0]);
    for key in ["bytes", "write_pause_ms", "rollback_ms", "abort_ms"] {
        assert!(measured[0][key].is_u64(), "{key}: {measured}");
    }
    // The next plan takes what was measured.
    let said = desk.says(&["plan", "plan.yaml", "--offline"], 0);
    has(&said.out, &["measured by the rehearsal of", "as measured"]);
    has(&said.out, &["step 1: rehearsed on 20", "nothing had moved; `abort` took"]);
    has(&said.out, &["step 6: rehearsed on 20", ", took ", "step 7: not rehearsed on 20"]);
    // The same name can be moved for real.
    stage.expect("apply", 0);
    let said = desk.says(&["rehearse", "plan.yaml"], 1);
    has(&said.err, &["a rehearsal comes before it"]);
}

/// In the plan's order, each with what the recovery plan says there and what came of it.
fn all_boundaries_are_rehearsed(measured: &Value) {
    let found: Vec<(&str, usize, bool)> = measured["boundaries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            assert_eq!(it["rows_compared"].is_u64(), it["moved"] == true, "{it}");
            assert!(it["writes"].as_u64().unwrap() > 0, "{it}");
            let said = it["said"].as_array().unwrap().len();
            (it["step"].as_str().unwrap(), said, it["moved"] == true)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("copy/replicate", 1, false),
            ("copy/verify", 1, false),
            ("look/smoke", 1, false),
            ("look/load", 1, false),
            ("look/run", 1, false),
            ("cutover/cutover", 2, true),
            ("check/verify", 2, true),
        ]
    );
    let left_out = measured["left_out"].as_array().unwrap();
    let left_out: Vec<&str> = left_out.iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(left_out, ["cutover/shift", "check/soak", "check/smoke"]);
}

#[test]
fn a_rehearsal_that_is_killed_is_swept_away_by_the_next_one() {
    let pair = Pair::start("rekilled");
    let stage = Stage::new(&pair, "rekilled", &PlanText::new(Gate::None));
    let desk = rehearsable(&pair, &stage, "rekilled", "");
    let state = |what: &str| {
        let folder = desk.folder.join(format!("state/rekilled-rehearse-{what}"));
        let records = changeover_journal::Reader::open(&folder).and_then(|it| it.read_all());
        records.map(|it| it.len()).unwrap_or_default()
    };
    for at in ["copy", "move"] {
        let running = stage.begin("rehearse", &[], &[]);
        let there = until(PATIENCE, || (state(at) > 3).then_some(()));
        assert!(there.is_some(), "the rehearsal's {at} does not begin");
        Stage::signal(running.pid(), "KILL");
        drop(running);
        desk.says(&["rehearse", "plan.yaml", "--clean-up"], 0);
        desk.nothing_is_left();
    }
    // Without a word of ours in between, too; and a daemon that is killed as well.
    let running = stage.begin("rehearse", &[], &[]);
    assert!(until(PATIENCE, || (state("copy") > 3).then_some(())).is_some());
    Stage::signal(running.pid(), "KILL");
    let folder = desk.folder.join("state/rekilled-rehearse-copy");
    for file in ["supervisor.pid", "run.pid"] {
        if let Ok(pid) = fs::read_to_string(folder.join(file)) {
            Stage::signal(pid.trim().parse().unwrap(), "KILL");
        }
    }
    drop(running);
    desk.says(&["rehearse", "plan.yaml"], 0);
    desk.nothing_is_left();
}

#[test]
fn a_database_that_is_not_a_throw_away_one_is_not_touched() {
    let pair = Pair::start("notmine");
    let stage = Stage::new(&pair, "notmine", &PlanText::new(Gate::None));
    let plan = fs::read_to_string(&stage.plan).unwrap();
    let folder = stage.plan.parent().unwrap().to_owned();
    let with = |url: &str| {
        let text = format!("{plan}rehearsal: {{postgres: {{url: \"{url}\"}}}}\n");
        fs::write(&stage.plan, text).unwrap();
        changeover(&folder, &["rehearse", "plan.yaml"], &[])
    };
    // The target under its own name, and under another name for the same server.
    let said = with(&stage.target);
    has(&said.err, &["the target's URL", "rehearsal.postgres.url"]);
    assert_eq!(said.code, Some(1));
    let said = with(&stage.target.replace("127.0.0.1", "localhost"));
    has(&said.err, &["it is the plan's target"]);
    assert_eq!(said.code, Some(1));
    execute(&pair.green.url("postgres"), "CREATE DATABASE full_one");
    let full = pair.green.url("full_one");
    execute(&full, "CREATE TABLE precious (id int)");
    let said = with(&full);
    has(&said.err, &["it is not empty"]);
    assert_eq!(said.code, Some(1));
    assert_eq!(ask(&full, "SELECT count(*) FROM precious").unwrap(), "0");
    // Without the right to make a second one, the next command is named.
    execute(&pair.green.url("postgres"), "CREATE ROLE poor LOGIN");
    execute(&full, "DROP TABLE precious");
    let said = with(&full.replace("postgres@", "poor@"));
    assert_eq!(said.code, Some(1), "{}", said.all());
    has(&said.err, &["our role poor may not create databases", "ALTER ROLE \"poor\" CREATEDB"]);
    has(&said.err, &["changeover rehearse "]);
    // A second database of our name that is not ours stays.
    execute(&pair.green.url("postgres"), "CREATE DATABASE changeover_rehearsal_notmine");
    let comment = "COMMENT ON DATABASE changeover_rehearsal_notmine IS 'somebody''s'";
    execute(&pair.green.url("postgres"), comment);
    let said = with(&full);
    has(&said.err, &["is not one of ours"]);
    assert_eq!(said.code, Some(5), "{}", said.all());
    fs::write(&stage.plan, &plan).unwrap();
    let said = changeover(&folder, &["rehearse", "plan.yaml"], &[]);
    has(&said.err, &["names no throw-away database", "rehearsal:"]);
}
