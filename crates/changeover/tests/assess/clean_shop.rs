//! A system in order: nothing fires, nothing is unknown.

use std::net::SocketAddr;

use tokio_postgres::NoTls;

use crate::mask::mask;
use crate::system::System;
use crate::upstream::{Answers, clear};

const UP: Answers = Answers {
    status: "200 OK",
    headers: "content-type: application/json\r\n",
    body: r#"{"status":"ok","database":"up","version":"1.4.2"}"#,
    in_time: true,
};

struct Clean {
    system: System,
    upstreams: [SocketAddr; 2],
    _client: tokio_postgres::Client,
    _runtime: tokio::runtime::Runtime,
}

/// The clean shop with one client of the application.
fn start() -> Clean {
    let system = System::start("clean-shop");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let url = system.source.url("shop").replace("postgres@", "app@");
    let client = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&format!("{url}?application_name=shop"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    });
    Clean { system, upstreams: [clear(UP), clear(UP)], _client: client, _runtime: runtime }
}

impl Clean {
    fn assess(&self, more: &[&str]) -> crate::system::Said {
        let [source, target] = self.upstreams.map(|address| format!("http://{address}"));
        let answers = self.system.answers();
        let sides = ["assess", "--source", "env:OLD", "--target", "env:NEW"];
        let http = ["--source-http", &source, "--target-http", &target, "--answers", &answers];
        self.system.changeover("postgres", &[&sides[..], &http[..], more].concat())
    }

    fn mask(&self, text: &str) -> String {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let names = [
            (self.upstreams[0].to_string(), "old.example:8080"),
            (self.upstreams[1].to_string(), "new.example:8080"),
            (at(self.system.source.port()), "old.example:5432"),
            (at(self.system.target.port()), "new.example:5432"),
        ];
        mask(text, &names)
    }
}

#[test]
fn nothing_fires_and_nothing_is_unknown() {
    let clean = start();
    let said = clean.assess(&["--fail-on", "low,unknown", "--out", "report.md"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    assert!(said.err.contains("source: reading postgresql://postgres@"), "{}", said.err);
    insta::assert_snapshot!("clean_shop", clean.mask(&said.out));
    insta::assert_snapshot!("clean_shop_markdown", clean.mask(&clean.system.written("report.md")));

    let said = clean.assess(&["--json"]);
    let lines: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert_eq!((of("version"), of("assessment"), of("facts")), (1, 1, 1));
    assert_eq!((of("finding"), of("check"), of("result")), (0, changeover_assess::CHECKS.len(), 1));
    let facts = lines.iter().find(|line| line["type"] == "facts").unwrap();
    let tables = &facts["source"]["database"]["relations"];
    assert_eq!(tables["known"].as_array().unwrap().len(), 2);
    assert!(tables["at"].as_u64().unwrap() > 0 && !tables["source"].as_str().unwrap().is_empty());
    let result = lines.last().unwrap();
    assert_eq!((&result["blocked"], &result["exit"]), (&false.into(), &0.into()));
}

#[test]
fn a_plan_is_drafted_that_the_program_itself_takes() {
    let clean = start();
    let said = clean.assess(&["--write-plan", "shop.yaml"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    let draft = clean.system.written("shop.yaml");
    let listening: Vec<String> = draft
        .lines()
        .filter_map(|line| line.trim().strip_prefix("listen: "))
        .map(str::to_owned)
        .collect();
    assert_eq!(listening.len(), 2, "{draft}");
    let mut shown = clean.mask(&draft);
    for (address, name) in listening.iter().zip(["\"<http gate>\"", "\"<postgres gate>\""]) {
        shown = shown.replace(address, name);
    }
    insta::assert_snapshot!("clean_shop_draft", shown);

    let checked = clean.system.changeover("postgres", &["plan", "shop.yaml", "--offline"]);
    assert_eq!(checked.code, Some(0), "{}\n{}", checked.out, checked.err);
    // What was drafted can be assessed in its turn.
    let again = clean.system.changeover("postgres", &["assess", "shop.yaml", "--format", "json"]);
    assert_eq!(again.code, Some(0), "{}\n{}", again.out, again.err);
    // A plan may hold the answers itself.
    let answers = std::fs::read_to_string(clean.system.answers()).unwrap();
    let declared = &answers[answers.find("declared:").unwrap()..];
    let waiver = "waivers: [{id: materialized_views, reason: a, by: b, until: 2020-01-01}]\n";
    let whole = clean.system.scratch.path().join("whole.yaml");
    std::fs::write(&whole, format!("{draft}{declared}{waiver}")).unwrap();
    let strict = ["assess", "whole.yaml", "--fail-on", "low,unknown"];
    let again = clean.system.changeover("postgres", &strict);
    assert_eq!(again.code, Some(0), "{}\n{}", again.out, again.err);
    assert!(again.out.contains("38 passed"), "{}", again.out);
    assert!(again.out.contains("materialized_views by b has expired"), "{}", again.out);
    // A plan is work: it is never replaced.
    let said = clean.assess(&["--write-plan", "shop.yaml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("a plan is never replaced"), "{}", said.err);
    assert_eq!(clean.system.written("shop.yaml"), draft);
}
