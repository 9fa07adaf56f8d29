//! Smoke checks: a few questions, certain answers.

use std::time::Duration;

use changeover_plan::{Against, Expect, SmokeRequest, SmokeSql, Step};
use changeover_postgres::session::Session;
use changeover_run::Input;
use changeover_types::Side;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Effects, application};
use crate::report::chain;

/// One question may take this long.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The status line of an answer is within this.
const STATUS_LINE_BYTES: usize = 4096;

impl Effects {
    /// Asks the step's questions, in order.
    pub(super) async fn smoke(&mut self, step: usize, authority: Side) -> Input {
        let plan = self.plan.clone();
        let Some(Step::Smoke { requests, sql, .. }) = plan.steps().nth(step).map(|it| it.step)
        else {
            return Input::Done;
        };
        for request in requests {
            if let Err(why) = self.ask_http(request).await {
                return Input::CheckFailed { why };
            }
        }
        for query in sql {
            if let Err(why) = self.ask_sql(query, authority).await {
                return Input::CheckFailed { why };
            }
        }
        Input::Done
    }

    async fn ask_http(&self, request: &SmokeRequest) -> Result<(), String> {
        let address = match request.against.side() {
            Some(side) => {
                let http = self.plan.side(side).http.as_ref();
                let upstream = http.and_then(|http| http.upstreams.first());
                upstream
                    .map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned())
            }
            None => self.plan.gates.http.as_ref().map(|gate| gate.listen.to_string()),
        };
        let what = format!(
            "smoke: {} {} on the {}",
            request.method,
            request.path,
            request.against.as_str()
        );
        let address = address.ok_or_else(|| format!("{what}: the plan has no address for it"))?;
        let status = timeout(ANSWER_WITHIN, http_status(&address, request))
            .await
            .map_err(|_| format!("{what}: no answer within {ANSWER_WITHIN:?}"))?
            .map_err(|e| format!("{what}: {e}"))?;
        if status == request.expect_status {
            return Ok(());
        }
        Err(format!("{what}: answered {status}, expected {}", request.expect_status))
    }

    async fn ask_sql(&self, query: &SmokeSql, authority: Side) -> Result<(), String> {
        let side = match query.against {
            Against::Gate => authority,
            other => other.side().unwrap_or(authority),
        };
        let what = format!("smoke: a query on the {side}");
        let databases = self.databases().map_err(|report| report.headline)?;
        let ask = async {
            let config = databases.of(side);
            let mut session = Session::connect(config, &application(&self.plan.name)).await?;
            session.execute("BEGIN READ ONLY").await?;
            let rows = session.query(&query.query).await?;
            session.close().await;
            Ok::<_, changeover_postgres::error::Error>(rows)
        };
        let rows = timeout(ANSWER_WITHIN, ask)
            .await
            .map_err(|_| format!("{what}: no answer within {ANSWER_WITHIN:?}"))?
            .map_err(|e| format!("{what}: {}", chain(&e)))?;
        match &query.expect {
            Expect::Rows(expected) if rows.len() as u64 == *expected => Ok(()),
            Expect::Rows(expected) => {
                Err(format!("{what}: gave {} rows, expected {expected}", rows.len()))
            }
            Expect::Value(expected) => {
                let found = rows.first().and_then(|row| row.get(0)).unwrap_or("nothing");
                if found == expected {
                    Ok(())
                } else {
                    Err(format!("{what}: did not give the value that the plan expects"))
                }
            }
        }
    }
}

/// Sends one request on a connection of its own and reads the status of the answer.
async fn http_status(address: &str, request: &SmokeRequest) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: changeover-smoke\r\n\
         Connection: close\r\n\r\n",
        request.method, request.path
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut limited = stream.take(STATUS_LINE_BYTES as u64);
    limited.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    text.strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| std::io::Error::other("the answer is not HTTP/1"))
}
