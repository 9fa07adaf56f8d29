//! A system with every risk: each check of the catalogue fires.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use changeover_assess::CHECKS;
use tokio_postgres::NoTls;

use crate::mask::mask;
use crate::sarif::assert_sarif;
use crate::system::{Said, System};
use crate::upstream::{Answers, clear, ended};

const OLD: Answers = Answers {
    status: "404 Not Found",
    headers: "x-app-version: 1.4.2\r\n",
    body: "",
    in_time: false,
};
const NEW: Answers =
    Answers { status: "200 OK", headers: "x-app-version: 1.5.0\r\n", body: "fine", in_time: true };

/// Checks that this system gives no reason to fire; the core's own tests do.
const NOT_SHOWN: [&str; 5] = [
    "R03-target-sessions",
    "R14-collation-version",
    "R17-sequences-left-behind",
    "R23-role-attributes",
    "R50-broken-already",
];

/// Writes log and no row, so that the sizes in the goldens stay; at a pace that does not use up
/// what the slot may retain.
const LOAD: &str =
    "SELECT pg_logical_emit_message(true, 'load', repeat('x', 1000)), pg_sleep(0.01)";

/// The system under load, with a transaction that somebody forgot.
struct Risky {
    system: System,
    source_http: String,
    target_http: String,
    forgotten: i32,
    stop: Arc<AtomicBool>,
    load: Option<std::thread::JoinHandle<()>>,
    _client: tokio_postgres::Client,
    _runtime: tokio::runtime::Runtime,
}

impl Drop for Risky {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(load) = self.load.take() {
            load.join().ok();
        }
    }
}

async fn connect(url: &str, name: &str) -> tokio_postgres::Client {
    let url = format!("{url}?application_name={name}");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn start() -> Risky {
    let system = System::start("every-risk");
    let url = system.source.url("shop").replace("postgres@", "app@");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (client, forgotten) = runtime.block_on(async {
        let client = connect(&url, "nightly").await;
        client.batch_execute("BEGIN").await.unwrap();
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        (client, pid)
    });
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, (written, first)) = (Arc::clone(&stop), std::sync::mpsc::channel());
    let load = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = connect(&url, "shop").await;
            while !stopped.load(Ordering::Relaxed) {
                client.batch_execute(LOAD).await.unwrap();
                written.send(()).ok();
            }
        });
    });
    first.recv().unwrap();
    Risky {
        source_http: format!("http://{}", clear(OLD)),
        target_http: format!("https://{}", ended(NEW)),
        system,
        forgotten,
        stop,
        load: Some(load),
        _client: client,
        _runtime: runtime,
    }
}

impl Risky {
    fn assess(&self, more: &[&str]) -> Said {
        let answers = self.system.answers();
        let sides = ["assess", "--source", "env:OLD", "--target", "env:NEW"];
        let http = ["--source-http", &self.source_http, "--target-http", &self.target_http];
        let rest = ["--exclude", "public.archive", "--answers", &answers];
        let arguments = [&sides[..], &http[..], &rest[..], more].concat();
        self.system.changeover("mover", &arguments)
    }

    fn mask(&self, text: &str) -> String {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let authority = |url: &str| url.rsplit('/').next().unwrap().to_owned();
        let names = [
            (authority(&self.source_http), "old.example:8080"),
            (authority(&self.target_http), "new.example:8443"),
            (at(self.system.source.port()), "old.example:5432"),
            (at(self.system.target.port()), "new.example:5432"),
            (format!("({})", self.forgotten), "(<pid>)"),
        ];
        mask(text, &names)
    }
}

#[test]
fn every_check_of_the_catalogue_fires() {
    let risky = start();
    let said = risky.assess(&["--out", "report.md", "--fail-on", "high"]);
    assert_eq!(said.code, Some(2), "{}\n{}", said.out, said.err);
    insta::assert_snapshot!("every_risk", risky.mask(&said.out));
    insta::assert_snapshot!("every_risk_markdown", risky.mask(&risky.system.written("report.md")));

    let said = risky.assess(&["--format", "sarif", "--out", "report.sarif", "--json"]);
    assert_eq!(said.code, Some(2));
    let lines: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fired: BTreeSet<&str> = lines
        .iter()
        .filter(|line| line["type"] == "finding")
        .map(|line| line["id"].as_str().unwrap())
        .collect();
    let missing: Vec<&str> =
        CHECKS.iter().map(|check| check.id).filter(|id| !fired.contains(id)).collect();
    assert_eq!(missing, NOT_SHOWN);
    // One fault has one finding, whoever judges it: what the preflight says of is no check's affair.
    let mut sides = BTreeSet::new();
    for line in lines.iter().filter(|line| line["type"] == "finding") {
        assert!(sides.insert(format!("{} {}", line["id"], line["side"])), "twice: {line}");
    }
    for id in ["wal_level", "no_identity", "unlogged", "large_objects", "extension_older"] {
        assert!(fired.contains(id), "{id}: {fired:?}");
    }

    let log: serde_json::Value =
        serde_json::from_str(&risky.system.written("report.sarif")).unwrap();
    assert_sarif(&log);
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len(), "each id once");
    let results: BTreeSet<String> = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let rule =
                &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
            assert_eq!(rule["id"], result["ruleId"]);
            format!(
                "{} {} {}",
                result["ruleId"].as_str().unwrap(),
                result["kind"].as_str().unwrap(),
                result["level"].as_str().unwrap()
            )
        })
        .collect();
    let results: Vec<&str> = results.iter().map(String::as_str).collect();
    insta::assert_snapshot!("every_risk_sarif", results.join("\n"));
}

#[test]
fn a_waiver_holds_until_its_day_and_the_draft_says_what_it_guesses() {
    let risky = start();
    let waivers = "apiVersion: changeover/v1\nkind: Answers\nwaivers:\n  \
                   - {id: materialized_views, reason: small, by: alice, until: 2100-01-01}\n  \
                   - {id: R24-reaching-outside, reason: old, by: bob, until: 2026-01-01}\n";
    std::fs::write(risky.system.scratch.path().join("waivers.yaml"), waivers).unwrap();
    let sides = ["assess", "--source", "env:OLD", "--target", "env:NEW", "--sample", "0s"];
    let more = ["--answers", "waivers.yaml", "--write-plan", "draft.yaml", "--fail-on", "never"];
    let said = risky.system.changeover("mover", &[&sides[..], &more[..]].concat());
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    assert!(said.out.contains("waived  materialized_views"), "{}", said.out);
    assert!(said.out.contains("waived by alice: small"), "{}", said.out);
    assert!(said.out.contains("the waiver of R24-reaching-outside by bob has expired"));
    let draft = risky.system.written("draft.yaml");

    let sarif = ["--answers", "waivers.yaml", "--out", "waived.sarif"];
    let said = risky.system.changeover("mover", &[&sides[..], &sarif].concat());
    assert_eq!(said.code, Some(2), "{}", said.err);
    let log: serde_json::Value =
        serde_json::from_str(&risky.system.written("waived.sarif")).unwrap();
    assert_sarif(&log);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let waived: Vec<_> = results.iter().filter(|it| it["suppressions"].is_array()).collect();
    assert!(waived.iter().all(|it| it["ruleId"] == "materialized_views"), "{waived:?}");
    assert!(!waived.is_empty() && results.iter().any(|it| it["kind"] == "open"), "unknown is open");
    for part in ["guess: unlogged", "exclude: [\"public.carts\"]", "auth: trust"] {
        assert!(draft.contains(part), "{part} is not in {draft}");
    }
}
