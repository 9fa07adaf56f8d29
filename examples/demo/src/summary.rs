//! What the demo says at its end: to a person, to a machine, and to a file.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::changeover::Seen;
use crate::check::{Authority, RowsCheck, WritesCheck};
use crate::load::{Record, Second};
use crate::options::{Green, Options};

/// The numbers of the end.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) indeterminate: u64,
    pub(crate) writes_acknowledged: u64,
    pub(crate) writes_missing: u64,
    pub(crate) writes_duplicated: u64,
    pub(crate) rows_compared: u64,
    pub(crate) rows_different: u64,
    pub(crate) write_pause_ms_max: u64,
    pub(crate) copy_seconds: f64,
    pub(crate) authority: String,
    /// What the authority had to be.
    pub(crate) authority_expected: String,
    /// The slowest write a client saw, from the moment it was due.
    pub(crate) slowest_write_ms: f64,
    pub(crate) read_p50_ms: f64,
    pub(crate) read_p99_ms: f64,
    pub(crate) write_p50_ms: f64,
    pub(crate) write_p99_ms: f64,
    pub(crate) by_v1: u64,
    pub(crate) by_v2: u64,
    /// With a bad green: whether the canary found it.
    pub(crate) verdict: Option<String>,
    /// With a bad green: what it answered badly until then. Failures, or where every answer is
    /// late, all it answered.
    pub(crate) bad_answers_served: Option<u64>,
    /// What went wrong, in words.
    pub(crate) findings: Vec<String>,
    /// The load second by second.
    pub(crate) seconds: Vec<Second>,
}

/// How it must end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    authority: Authority,
    /// What the new version is like, unless it is good.
    bad: Option<Green>,
    moved: bool,
}

impl Expected {
    /// As the options want it.
    #[must_use]
    pub(crate) fn of(options: &Options) -> Expected {
        let bad = Some(options.green).filter(|green| *green != Green::Good);
        let back = options.rollback || bad.is_some();
        let authority = if back { Authority::Blue } else { Authority::Green };
        Expected { authority, bad, moved: bad.is_none() }
    }

    /// Nothing moves.
    #[must_use]
    pub(crate) fn direct() -> Expected {
        Expected { authority: Authority::Blue, bad: None, moved: false }
    }
}

/// What the run itself reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunNumbers {
    pub(crate) write_pause_ms_max: Option<u64>,
    pub(crate) copy_seconds: Option<f64>,
}

impl Summary {
    /// Puts everything together.
    #[must_use]
    pub(crate) fn new(
        record: Record,
        writes: WritesCheck,
        rows: &RowsCheck,
        seen: &Seen,
        authority: Authority,
        expected: Expected,
    ) -> Summary {
        let (meter, run) = (record.meter, seen.numbers());
        let by_v2: u64 = meter.seconds.iter().map(|s| s.by_v2).sum();
        let bad_answers_served = expected.bad.map(|bad| match bad {
            Green::Good | Green::Broken => meter.failed_by_v2,
            Green::Slow => by_v2,
        });
        let ms = |us: u64| us as f64 / 1000.0;
        // What a broken green failed is no fault of the move, once its canary has found it.
        let mut findings = meter.messages.clone();
        findings
            .retain(|_| expected.bad != Some(Green::Broken) || meter.failed > meter.failed_by_v2);
        findings.extend(writes.findings);
        findings.extend(rows.findings.iter().map(|(t, n)| format!("{n} rows differ in {t}")));
        if authority != expected.authority {
            let wanted = expected.authority;
            findings.push(format!("the authority is {authority}, it must be {wanted}"));
        }
        let verdict = expected.bad.map(|_| match seen.rolled_back() {
            Some(_) => "rolled_back".to_owned(),
            None => "missed".to_owned(),
        });
        if verdict.as_deref() == Some("missed") {
            findings.push("the canary did not find that green is bad".to_owned());
        }
        if expected.moved && run.write_pause_ms_max.is_none() {
            findings.push("the run never told its write pause".to_owned());
        }
        if (expected.moved || expected.bad.is_some()) && run.copy_seconds.is_none() {
            findings.push("the run never told that its copy was done".to_owned());
        }
        Summary {
            requests: meter.requests(),
            failed: meter.failed,
            indeterminate: meter.indeterminate,
            writes_acknowledged: record.ledger.acknowledged(),
            writes_missing: writes.missing,
            writes_duplicated: writes.duplicated,
            rows_compared: rows.compared,
            rows_different: rows.different,
            write_pause_ms_max: run.write_pause_ms_max.unwrap_or(0),
            copy_seconds: run.copy_seconds.unwrap_or(0.0),
            authority: authority.to_string(),
            authority_expected: expected.authority.to_string(),
            slowest_write_ms: ms(meter.writes.max()),
            read_p50_ms: ms(meter.reads.value_at_quantile(0.5)),
            read_p99_ms: ms(meter.reads.value_at_quantile(0.99)),
            write_p50_ms: ms(meter.writes.value_at_quantile(0.5)),
            write_p99_ms: ms(meter.writes.value_at_quantile(0.99)),
            by_v1: meter.seconds.iter().map(|s| s.by_v1).sum(),
            by_v2,
            verdict,
            bad_answers_served,
            findings,
            seconds: meter.seconds,
        }
    }

    /// Whether all promises held.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        let answered_badly = self.bad_answers_served.unwrap_or(0);
        let faults = self.failed.saturating_sub(answered_badly)
            + self.indeterminate
            + self.writes_missing
            + self.writes_duplicated
            + self.rows_different;
        faults == 0
            && self.findings.is_empty()
            && self.requests > 0
            && self.authority == self.authority_expected
    }

    /// The line for machines.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let verdict = match (&self.verdict, self.bad_answers_served) {
            (Some(verdict), Some(bad)) => format!(" verdict={verdict} bad_answers_served={bad}"),
            _ => String::new(),
        };
        format!(
            "demo: requests={} failed={} indeterminate={} writes_acknowledged={} \
             writes_missing={} writes_duplicated={} rows_compared={} rows_different={} \
             write_pause_ms_max={} copy_seconds={:.1} authority={}{verdict}",
            self.requests,
            self.failed,
            self.indeterminate,
            self.writes_acknowledged,
            self.writes_missing,
            self.writes_duplicated,
            self.rows_compared,
            self.rows_different,
            self.write_pause_ms_max,
            self.copy_seconds,
            self.authority
        )
    }

    /// Writes `summary.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn save(&self, out: &Path) -> Result<(), String> {
        let path = out.join("summary.json");
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        fs::write(&path, text + "\n").map_err(|e| format!("writing {}: {e}", path.display()))
    }

    /// The words for a person, then the line.
    pub(crate) fn print(&self) {
        println!();
        println!(
            "  {} requests, {} failed, {} with unknown outcome",
            self.requests, self.failed, self.indeterminate
        );
        println!("  {} answered by v1, {} by v2", self.by_v1, self.by_v2);
        println!(
            "  reads  p50 {:.1} ms  p99 {:.1} ms      writes  p50 {:.1} ms  p99 {:.1} ms",
            self.read_p50_ms, self.read_p99_ms, self.write_p50_ms, self.write_p99_ms
        );
        println!(
            "  {} writes acknowledged: {} missing, {} too many, looked for one by one on {}",
            self.writes_acknowledged, self.writes_missing, self.writes_duplicated, self.authority
        );
        if self.rows_compared > 0 {
            println!("  {} rows compared, {} different", self.rows_compared, self.rows_different);
        }
        if self.write_pause_ms_max > 0 {
            println!(
                "  writes paused for {} ms at most; the slowest write took {:.0} ms",
                self.write_pause_ms_max, self.slowest_write_ms
            );
        }
        if let (Some(verdict), Some(bad)) = (&self.verdict, self.bad_answers_served) {
            println!("  green is bad: {}, after {bad} bad answers", verdict.replace('_', " "));
        }
        for finding in &self.findings {
            println!("  ! {finding}");
        }
        println!();
        println!("{}", self.line());
    }
}
