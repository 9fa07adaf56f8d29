//! Load: requests of the plan or of a log, or the user's own tool.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use changeover_checks::access_log::{Log, Replay};
use changeover_checks::figures::{Figures, judge, ms};
use changeover_checks::http::Ask;
use changeover_checks::load::{Load as Sending, Progress, Question, run};
use changeover_checks::schedule::{Profile, Schedule};
use changeover_plan::{AccessLog, Load, LoadRequest, StatusRange, Traffic};

use super::Found;
use crate::board::Board;
use crate::effects::Effects;
use crate::protocol::CheckStatus;

/// A line longer than this is none of a log.
const LINE_BYTES: usize = 64 * 1024;

/// What is sent, and what is to be said of where it comes from.
struct Prepared {
    schedule: Schedule,
    order: Vec<usize>,
    asks: Vec<Question>,
    note: String,
}

impl Effects {
    pub(super) async fn load(&self, load: &Load, path: &str) -> Result<Found, String> {
        let prepared = match &load.traffic {
            Traffic::Exec(exec) => return self.run_command(exec, path).await,
            Traffic::Requests { requests, profile } => Prepared {
                schedule: Schedule::Profile(Profile::new(profile)),
                order: Vec::new(),
                asks: self.questions(requests)?,
                note: String::new(),
            },
            Traffic::AccessLog(log) => self.replay(log).await?,
        };
        let Prepared { schedule, order, asks, note } = prepared;
        let (total, lasts) = (schedule.total(), schedule.lasts());
        let sending = Sending {
            schedule,
            order,
            asks,
            addresses: self.addresses(load.against),
            connections: usize::try_from(load.connections).unwrap_or(1),
            within: load.within,
        };
        let board = Arc::clone(&self.board);
        let figures = run(sending, |progress| show(&board, progress, total, lasts)).await;
        let cases = judge(&load.limits, &figures);
        let summary = format!("{}{note}", summary(&figures, load.against.as_str()));
        Ok(Found { summary, cases, numbers: figures.numbers() })
    }

    fn questions(&self, requests: &[LoadRequest]) -> Result<Vec<Question>, String> {
        let question = |load: &LoadRequest| {
            let request = &load.request;
            let headers = self.texts(&request.headers, "header")?;
            let body = request.body.as_deref();
            let ask = Ask::new(&request.method, &request.path, &headers, body);
            Ok(Question {
                ask: ask.map_err(|e| e.to_string())?,
                name: name(&request.method, &request.path),
                status: load.status.clone(),
            })
        };
        requests.iter().map(question).collect()
    }

    /// The reads of a log. What the log's users were refused they are refused again: only answers
    /// of 500 and above are failures.
    async fn replay(&self, log: &AccessLog) -> Result<Prepared, String> {
        let folder = self.plan_path.parent().unwrap_or(Path::new("."));
        let (file, times, format) = (folder.join(&log.file), log.times, log.format);
        let shown = log.file.display().to_string();
        let fault = |e: std::io::Error| format!("reading the access log {shown}: {e}");
        let reading = tokio::task::spawn_blocking(move || read(file, Log::new(format)));
        let log = reading.await.map_err(|e| e.to_string())?.map_err(fault)?;
        let (unsafe_lines, unreadable, cut_off) = (log.unsafe_lines, log.unreadable, log.cut_off);
        let Replay { due, which, requests } = log.replay(times);
        if due.is_empty() {
            return Err(format!(
                "the access log {shown} has no GET, HEAD or OPTIONS: {unsafe_lines} lines of \
                 other methods, {unreadable} that are not of its format"
            ));
        }
        let question = |(method, target): &(String, String)| {
            Ok(Question {
                ask: Ask::new(method, target, &[], None).map_err(|e| e.to_string())?,
                name: name(method, target),
                status: vec![StatusRange { from: 100, to: 499 }],
            })
        };
        let more = if cut_off { ", and more requests than are taken" } else { "" };
        Ok(Prepared {
            schedule: Schedule::Times(due),
            order: which,
            asks: requests.iter().map(question).collect::<Result<_, String>>()?,
            note: format!(
                "; its log has {unsafe_lines} lines of other methods and {unreadable} that are \
                 not of its format{more}"
            ),
        })
    }
}

fn read(file: PathBuf, mut log: Log) -> std::io::Result<Log> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.len() > LINE_BYTES {
            log.unreadable += 1;
        } else {
            log.line(&String::from_utf8_lossy(&line));
        }
        if log.cut_off {
            break;
        }
        line.clear();
    }
    Ok(log)
}

/// Without the query, which may hold what no journal should.
fn name(method: &str, target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or(target);
    format!("{method} {}", path.chars().take(100).collect::<String>())
}

fn summary(figures: &Figures, against: &str) -> String {
    let quantile = |q: f64| figures.quantile_us(q).map_or("unknown".to_owned(), ms);
    let late = match figures.late {
        0 => String::new(),
        late => format!(", {late} sent late"),
    };
    format!(
        "{} requests to the {against}, {} failed{late}; p50 {}, p99 {} from when each was due",
        figures.done,
        figures.failed,
        quantile(0.5),
        quantile(0.99)
    )
}

fn show(board: &Board, progress: &Progress, total: u64, lasts: Duration) {
    let Progress { elapsed, rate, due, figures } = progress;
    let p99 = figures.quantile_us(0.99).map_or("unknown".to_owned(), ms);
    let detail = format!(
        "{rate:.0}/s, {} of {total} requests, {} failed, p99 {p99}",
        figures.done, figures.failed
    );
    let done = elapsed.as_secs_f64() / lasts.as_secs_f64().max(0.001);
    let mut numbers = figures.numbers();
    numbers.insert("rate_per_1000s".to_owned(), (rate * 1000.0) as u64);
    numbers.insert("due".to_owned(), *due);
    board.show_check(Some(CheckStatus {
        detail,
        done_permille: Some((done.min(1.0) * 1000.0) as u16),
        eta_s: Some(lasts.saturating_sub(*elapsed).as_secs()),
        numbers,
        ..CheckStatus::of("load")
    }));
}
