//! Whether the sides are large enough, safe enough and near enough.

use changeover_types::{Answer, Side, questions};

use super::replication::number;
use crate::answers::{declared, unanswered};
use crate::check::{Check, Owner, Verdict, both_databases, database};
use crate::finding::Severity::High;
use crate::inventory::Inventory;
use crate::words::{bytes, count, seconds};

/// A restore that is older proves little.
const RESTORED_WITHIN_S: u64 = 90 * 86_400;
/// Copied rows, indexes being built and log of the copy side by side.
const DISK_FACTOR_TENTHS: u64 = 15;
/// Old and new sessions side by side during the switch.
const CONNECTION_FACTOR: u64 = 2;

pub(super) const TARGET_SIZE: Check = Check {
    id: "R29-target-size",
    title: "The target is too small",
    severity: High,
    rule: "its free disk is less than 1.5 times the source's database, or CPU, memory and disk do \
           not carry the 95th percentile of the load",
    why: "a disk that fills during the copy, or a server that saturates after the switch, means \
          going back",
    mitigation: "enlarge the target before the copy; it can shrink after the way back is closed",
    owner: Owner::Platform,
    judge: target_size,
};

fn target_size(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let size = verdict.known("source: its size", &source.disk).map(|disk| disk.database_bytes);
        let seen = target.disk.get().ok().and_then(|disk| disk.free_bytes);
        let stated = inventory.number(&questions::DISK_FREE);
        let free = match (seen, stated) {
            (Some(free), _) => Some((free, "seen from here")),
            (None, stated) => stated,
        };
        match (size, free) {
            (Some(size), Some((free, from))) => {
                let needed = size / 10 * DISK_FACTOR_TENTHS;
                if free < needed {
                    let evidence = format!(
                        "{} are free ({from}), {} are needed for a database of {}",
                        bytes(free),
                        bytes(needed),
                        bytes(size)
                    );
                    verdict.fires(Side::Target, evidence);
                }
            }
            (_, None) => verdict.cannot_tell(unanswered(&questions::DISK_FREE)),
            (None, Some(_)) => {}
        }
        inventory.expect(&questions::SIZED_FOR_PEAK, true, verdict);
    })
}

pub(super) const CONNECTIONS: Check = Check {
    id: "R30-target-connections",
    title: "Too few connections on the target",
    severity: High,
    rule: "max_connections of the target is less than twice the sum of all pools",
    why: "during the switch old and new sessions exist side by side; the last ones are refused",
    mitigation: "raise max_connections on the target (restart), or put a pooler in front",
    owner: Owner::Database,
    judge: connections,
};

fn connections(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let Some(limit) = number(Side::Target, target, "max_connections", verdict) else { return };
        let connected = source
            .activity
            .get()
            .ok()
            .map(|activity| activity.clients.iter().map(|client| client.sessions).sum::<u64>());
        let (pools, from) = match (inventory.number(&questions::POOL_CONNECTIONS), connected) {
            (Some((pools, place)), _) => (pools, place),
            // What is connected now is the least that the pools may open.
            (None, Some(now)) if now * CONNECTION_FACTOR > limit => (now, "connected now"),
            _ => return verdict.cannot_tell(unanswered(&questions::POOL_CONNECTIONS)),
        };
        let needed = pools.saturating_mul(CONNECTION_FACTOR);
        if limit < needed {
            let pools = count(pools, "connection");
            let evidence = format!("max_connections is {limit}, the pools open {pools} ({from})");
            let fix =
                format!("ALTER SYSTEM SET max_connections = {needed}; -- then restart the target");
            verdict.fires(Side::Target, evidence).mended_by(fix);
        }
    })
}

pub(super) const TARGET_SAFETY: Check = Check {
    id: "R31-target-safety",
    title: "The target is not safe yet",
    severity: High,
    rule: "it runs in a single zone, has no backup, or no backup was restored in the last 90 days",
    why: "after the switch the target holds the only current copy of the data",
    mitigation: "set up zones and backups before the switch, and restore one to prove it",
    owner: Owner::Platform,
    judge: target_safety,
};

fn target_safety(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Target, |_, verdict| {
        match inventory.number(&questions::ZONES) {
            Some((zones, place)) if zones < 2 => {
                let evidence = format!("{} (declared in {place})", count(zones, "zone"));
                verdict.fires(Side::Target, evidence);
            }
            Some(_) => {}
            None => verdict.cannot_tell(unanswered(&questions::ZONES)),
        }
        let backed_up = inventory.answer(&questions::BACKED_UP, verdict);
        match backed_up {
            Some((Answer::YesNo(true), _)) => {}
            Some((_, place)) => {
                verdict.fires(Side::Target, declared(&questions::BACKED_UP, place));
                return;
            }
            None => return,
        }
        if let Some((Answer::Date(at), place)) = inventory.answer(&questions::RESTORED_ON, verdict)
        {
            let age = inventory.at.since(at).as_secs();
            if age > RESTORED_WITHIN_S {
                let evidence = format!("last restored {} ago (declared in {place})", seconds(age));
                verdict.fires(Side::Target, evidence);
            }
        }
    })
}

pub(super) const COPY_TIME: Check = Check {
    id: "R32-copy-time",
    title: "The copy does not fit the window",
    severity: High,
    rule: "the size of the tables over the copy rate is more than the window",
    why: "a copy that takes longer retains log for longer and ends in working hours",
    mitigation: "widen the window, raise the bandwidth or data.copy_jobs, or move in parts",
    owner: Owner::Platform,
    judge: copy_time,
};

fn copy_time(inventory: &Inventory) -> Verdict {
    let mut verdict = database(inventory, Side::Source, |_, _| {});
    if verdict.not_applicable.is_some() {
        return verdict;
    }
    let copy_s = copy_seconds(inventory, &mut verdict);
    let window = inventory.number(&questions::WINDOW);
    if window.is_none() {
        verdict.cannot_tell(unanswered(&questions::WINDOW));
    }
    if let (Some(copy_s), Some((window_ms, place))) = (copy_s, window)
        && copy_s > window_ms / 1000
    {
        let (copy, window) = (seconds(copy_s), seconds(window_ms / 1000));
        verdict.fires(None, format!("the copy takes {copy}, the window in {place} is {window}"));
    }
    verdict
}

/// How long the copy takes, rounded up: rows and large values over the declared rate, or over the
/// rate at which the source was read, which no copy exceeds.
pub(super) fn copy_seconds(inventory: &Inventory, verdict: &mut Verdict) -> Option<u64> {
    let source = inventory.source.database.as_deref()?;
    let tables = verdict.known("source: its tables", &source.relations)?;
    let bytes: u64 =
        tables.iter().map(|table| table.heap_bytes.saturating_add(table.toast_bytes)).sum();
    let stated = inventory.number(&questions::COPY_RATE).map(|(rate, _)| rate);
    match stated.or_else(|| source.read_bytes_s.get().ok().copied()) {
        Some(rate) if rate > 0 => Some(bytes.div_ceil(rate)),
        _ => {
            verdict.known("source: how fast it can be read", &source.read_bytes_s);
            verdict.cannot_tell(unanswered(&questions::COPY_RATE));
            None
        }
    }
}

pub(super) const AUTOSCALER: Check = Check {
    id: "R47-autoscaler",
    title: "The source may shrink while it is the way back",
    severity: High,
    rule: "an autoscaler may shrink the source before the way back is closed",
    why: "a rollback sends all traffic to a side that no longer carries it",
    mitigation: "set the autoscaler's minimum to today's size until finish",
    owner: Owner::Platform,
    judge: autoscaler,
};

fn autoscaler(inventory: &Inventory) -> Verdict {
    let mut verdict = Verdict::default();
    let (seen, question) = (&inventory.around.autoscalers, &questions::KEPT_AT_SIZE);
    inventory.seen_or_answered(seen, question, true, &mut verdict);
    verdict
}
