//! What the demo says at its end: to a person, to a machine, and to a file.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::check::{Authority, RowsCheck, WritesCheck};
use crate::load::{Record, Second};

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
    /// What went wrong, in words.
    pub(crate) findings: Vec<String>,
    /// The load second by second.
    pub(crate) seconds: Vec<Second>,
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
        run: RunNumbers,
        authority: Authority,
        expected: Authority,
    ) -> Summary {
        let meter = record.meter;
        let ms = |us: u64| us as f64 / 1000.0;
        let mut findings = meter.messages.clone();
        findings.extend(writes.findings);
        findings.extend(rows.findings.iter().map(|(t, n)| format!("{n} rows differ in {t}")));
        if authority != expected {
            findings.push(format!("the authority is {authority}, it must be {expected}"));
        }
        if run.write_pause_ms_max.is_none() {
            findings.push("the run never told its write pause".to_owned());
        }
        if run.copy_seconds.is_none() {
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
            authority_expected: expected.to_string(),
            slowest_write_ms: ms(meter.writes.max()),
            read_p50_ms: ms(meter.reads.value_at_quantile(0.5)),
            read_p99_ms: ms(meter.reads.value_at_quantile(0.99)),
            write_p50_ms: ms(meter.writes.value_at_quantile(0.5)),
            write_p99_ms: ms(meter.writes.value_at_quantile(0.99)),
            by_v1: meter.seconds.iter().map(|s| s.by_v1).sum(),
            by_v2: meter.seconds.iter().map(|s| s.by_v2).sum(),
            findings,
            seconds: meter.seconds,
        }
    }

    /// Whether all promises held.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        let faults = self.failed
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
        format!(
            "demo: requests={} failed={} indeterminate={} writes_acknowledged={} \
             writes_missing={} writes_duplicated={} rows_compared={} rows_different={} \
             write_pause_ms_max={} copy_seconds={:.1} authority={}",
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
        for finding in &self.findings {
            println!("  ! {finding}");
        }
        println!();
        println!("{}", self.line());
    }
}
