//! Smoke checks: a few questions, certain answers. All are asked, also after a wrong one.

use std::future::Future;
use std::time::Duration;

use changeover_checks::http::{Ask, Broken, ask};
use changeover_checks::{expect, tcp};
use changeover_plan::{Smoke, SmokeRequest, SmokeSql};
use changeover_postgres::session::Session;
use changeover_types::{CheckCase, Side};
use tokio::time::{Instant, sleep, timeout};

use super::Found;
use crate::effects::{Effects, application};
use crate::protocol::CheckStatus;
use crate::report::chain;
use crate::settings;

/// Of an answer's body so much is read.
const BODY_BYTES: usize = 1024 * 1024;

/// Our sessions look for names in `pg_catalog` alone; the plan's queries are written for a usual
/// session of that role in that database.
const USUAL_PATH: &str = "SELECT pg_catalog.set_config('search_path', coalesce( \
   (SELECT pg_catalog.substr(c, 13) FROM pg_catalog.pg_db_role_setting s \
     CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) c \
     WHERE c LIKE 'search_path=%' \
       AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname=session_user)) \
       AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database \
         WHERE datname=pg_catalog.current_database())) \
     ORDER BY s.setrole<>0 DESC, s.setdatabase<>0 DESC LIMIT 1), \
   (SELECT boot_val FROM pg_catalog.pg_settings WHERE name='search_path')), true)";

/// A question that is answered wrongly is asked again as the plan says.
#[derive(Clone, Copy)]
struct Retries {
    times: u32,
    after: Duration,
}

impl Effects {
    pub(super) async fn smoke(&self, smoke: &Smoke, authority: Side) -> Found {
        let retries = Retries { times: smoke.retries, after: smoke.retry_after };
        let mut cases = Vec::new();
        for request in &smoke.requests {
            for address in self.addresses(request.against) {
                let name = name_of(request, &address);
                cases.push(retries.ask(name, || self.ask_http(request, &address)).await);
                self.show_asked(cases.len());
            }
        }
        for query in &smoke.sql {
            let whom = match query.against.side() {
                Some(side) => format!("on the {side}"),
                None => "through the gate".to_owned(),
            };
            let name = format!("`{}` {whom}", excerpt(&query.query));
            cases.push(retries.ask(name, || self.ask_sql(query, authority)).await);
            self.show_asked(cases.len());
        }
        for address in &smoke.tcp {
            let name = format!("connecting to {}", address.address);
            let asked = || tcp::connect(&address.address, address.within);
            cases.push(retries.ask(name, asked).await);
            self.show_asked(cases.len());
        }
        let wrong = cases.iter().filter(|case| !case.failures.is_empty()).count();
        let summary = match (cases.len(), wrong) {
            (all, 0) => format!("{all} questions, all answered as expected"),
            (all, wrong) => format!("{wrong} of {all} questions were not answered as expected"),
        };
        let numbers = [("questions", cases.len()), ("wrong", wrong)];
        let numbers = numbers.map(|(name, n)| (name.to_owned(), n as u64)).into();
        Found { summary, cases, numbers }
    }

    fn show_asked(&self, asked: usize) {
        let detail = format!("{asked} questions asked");
        self.board.show_check(Some(CheckStatus { detail, ..CheckStatus::of("smoke") }));
    }

    async fn ask_http(&self, smoke: &SmokeRequest, address: &str) -> Vec<String> {
        let request = &smoke.request;
        let headers = match self.texts(&request.headers, "header") {
            Ok(headers) => headers,
            Err(why) => return vec![why],
        };
        let body = request.body.as_deref();
        let question = match Ask::new(&request.method, &request.path, &headers, body) {
            Ok(question) => question,
            Err(e) => return vec![e.to_string()],
        };
        let begun = Instant::now();
        match timeout(request.within, ask(address, &question, BODY_BYTES)).await {
            Ok(Ok(answer)) => expect::http(&smoke.expect, &answer, begun.elapsed()),
            Ok(Err(e)) => vec![broken(&e)],
            Err(_) => vec![late(request.within)],
        }
    }

    /// A question to the gate comes in as a client's would.
    async fn ask_sql(&self, query: &SmokeSql, authority: Side) -> Vec<String> {
        let config = match query.against.side() {
            Some(side) => self.databases().map(|databases| databases.of(side).clone()),
            None => settings::client_of_gate(&self.plan, &self.plan_path, authority),
        };
        let config = match config {
            Ok(config) => config,
            Err(report) => return vec![report.headline],
        };
        let asking = async {
            let mut session = Session::connect(&config, &application(&self.plan.name)).await?;
            session.execute("BEGIN READ ONLY").await?;
            session.execute(USUAL_PATH).await?;
            let rows = session.query(&query.query).await?;
            let columns = rows.columns().len();
            let text = |row: changeover_postgres::session::Row| {
                (0..columns).map(|at| row.get(at).map(str::to_owned)).collect()
            };
            let rows: Vec<Vec<Option<String>>> = rows.into_iter().map(text).collect();
            session.close().await;
            Ok::<_, changeover_postgres::error::Error>(rows)
        };
        match timeout(query.within, asking).await {
            Ok(Ok(rows)) => expect::rows(&query.expect, &rows),
            Ok(Err(e)) => vec![chain(&e)],
            Err(_) => vec![late(query.within)],
        }
    }
}

impl Retries {
    async fn ask<F: Future<Output = Vec<String>>>(
        self,
        name: String,
        question: impl Fn() -> F,
    ) -> CheckCase {
        let begun = Instant::now();
        let mut failures = question().await;
        let mut again = 0;
        while !failures.is_empty() && again < self.times {
            sleep(self.after).await;
            failures = question().await;
            again += 1;
        }
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let name = match again {
            0 => name,
            again => format!("{name}, asked {} times", again + 1),
        };
        CheckCase { name, took_ms, failures, skipped: false }
    }
}

/// What is asked, and of whom.
fn name_of(smoke: &SmokeRequest, address: &str) -> String {
    let request = &smoke.request;
    format!("{} {} on the {} ({address})", request.method, request.path, smoke.against.as_str())
}

fn excerpt(sql: &str) -> String {
    const SHOWN: usize = 80;
    let one_line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &one_line[..cut]),
        None => one_line,
    }
}

fn broken(error: &Broken) -> String {
    error.to_string()
}

fn late(within: Duration) -> String {
    format!("no answer within {} ms", within.as_millis())
}
