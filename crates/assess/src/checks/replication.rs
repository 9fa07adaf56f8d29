//! Whether the change stream can flow: log level, slots, senders, space, and who else reads it.

use std::collections::BTreeMap;

use changeover_types::{Answer, Side, questions};

use super::capacity::copy_seconds;
use crate::answers::unanswered;
use crate::check::{Check, Owner, Verdict, database, each_database};
use crate::finding::Severity::{Blocker, High, Medium};
use crate::inventory::{Database, Inventory};
use crate::words::{bytes, count, list, seconds};

/// Apply sessions, copy jobs and our own workers on the target.
const TARGET_WORKERS_NEEDED: u64 = 8;
/// A shorter timeout ends senders that wait for a slow apply.
const SENDER_TIMEOUT_MS: u64 = 30_000;
const DAY_S: u64 = 86_400;
/// A standby this far behind is behind already.
const LAG_BYTES: u64 = 64 * 1024 * 1024;

pub(super) const SESSIONS: Check = Check {
    id: "R03-target-sessions",
    title: "Too few free sessions on the target",
    severity: Blocker,
    rule: "fewer than eight of max_connections are free on the target",
    why: "copying and applying take sessions",
    mitigation: "raise max_connections on the target (restart)",
    owner: Owner::Database,
    judge: sessions,
};

fn sessions(inventory: &Inventory) -> Verdict {
    let side = Side::Target;
    database(inventory, side, |database, verdict| {
        let limit = number(side, database, "max_connections", verdict);
        let activity = verdict.known(format!("{side}: its sessions"), &database.activity);
        let (Some(limit), Some(activity)) = (limit, activity) else { return };
        let used: u64 = activity.clients.iter().map(|client| client.sessions).sum();
        if limit < used + TARGET_WORKERS_NEEDED {
            let raised = used + 2 * TARGET_WORKERS_NEEDED;
            verdict.fires(side, format!("{used} of {limit} sessions are in use")).mended_by(
                format!("ALTER SYSTEM SET max_connections = {raised}; -- then restart the server"),
            );
        }
    })
}

pub(super) const SLOT_LIMIT: Check = Check {
    id: "R07-slot-wal-limit",
    title: "The source may cut the slot off during the copy",
    severity: High,
    rule: "max_slot_wal_keep_size is less than the log written during the expected copy",
    why: "a slot that falls behind by more is invalidated, and the copy begins anew",
    mitigation: "set max_slot_wal_keep_size to -1 for the move and watch the disk, or raise it",
    owner: Owner::Database,
    judge: slot_limit,
};

fn slot_limit(inventory: &Inventory) -> Verdict {
    let mut verdict = database(inventory, Side::Source, |database, verdict| {
        let side = Side::Source;
        let Some(settings) = settings(side, database, verdict) else { return };
        // The server did not know the setting before 13: nothing is cut off.
        let Some(limit) = settings.get("max_slot_wal_keep_size") else { return };
        let Some(limit_mb) = limit.parse::<u64>().ok() else { return };
        let Some(rate) = verdict.known("source: its change rate", &database.rate) else { return };
        let Some(copy_s) = copy_seconds(inventory, verdict) else { return };
        let written = rate.wal_bytes_s.saturating_mul(copy_s);
        let limit_bytes = limit_mb.saturating_mul(1 << 20);
        if limit_bytes < written {
            let evidence = format!(
                "max_slot_wal_keep_size is {}; at {}/s a copy of {} writes {}",
                bytes(limit_bytes),
                bytes(rate.wal_bytes_s),
                seconds(copy_s),
                bytes(written)
            );
            let fix = "ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf();";
            verdict.fires(side, evidence).mended_by(fix);
        }
    });
    verdict.unknown.dedup();
    verdict
}

pub(super) const SENDER_TIMEOUT: Check = Check {
    id: "R08-sender-timeout",
    title: "Senders give up early",
    severity: Medium,
    rule: "wal_sender_timeout is under 30 s on either side (0 is never)",
    why: "a sender that hears nothing for so long ends, and the stream begins again and again",
    mitigation: "raise wal_sender_timeout to a minute or more for the move",
    owner: Owner::Database,
    judge: sender_timeout,
};

fn sender_timeout(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        let Some(ms) = number(side, database, "wal_sender_timeout", verdict) else { return };
        if ms > 0 && ms < SENDER_TIMEOUT_MS {
            let found = verdict.fires(side, format!("wal_sender_timeout is {ms} ms"));
            found
                .mended_by("ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();");
        }
    })
}

pub(super) const WAL_SPACE: Check = Check {
    id: "R09-wal-space",
    title: "The source's log may fill its disk",
    severity: Blocker,
    rule: "free space for the source's log is less than it writes in 24 hours",
    why: "a slot retains log while the target is slow or away; a full disk stops the source",
    mitigation: "give the source's disk room, or lower max_slot_wal_keep_size and accept R07",
    owner: Owner::Platform,
    judge: wal_space,
};

fn wal_space(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let seen = database.disk.get().ok().and_then(|disk| disk.wal_free_bytes);
        let declared = inventory.number(&questions::WAL_FREE);
        let (free, from) = match (seen, declared) {
            (Some(free), _) => (free, "seen from here"),
            (None, Some((free, place))) => (free, place),
            (None, None) => return verdict.cannot_tell(unanswered(&questions::WAL_FREE)),
        };
        let Some(rate) = verdict.known("source: its change rate", &database.rate) else { return };
        let day = rate.wal_bytes_s.saturating_mul(DAY_S);
        if free < day {
            let evidence = format!(
                "{} are free ({from}); at {}/s a day writes {}",
                bytes(free),
                bytes(rate.wal_bytes_s),
                bytes(day)
            );
            verdict.fires(Side::Source, evidence);
        }
    })
}

pub(super) const OTHERS: Check = Check {
    id: "R27-other-readers",
    title: "Others are prepared to read the source's changes",
    severity: High,
    rule: "the source has physical slots, or publications besides this migration's",
    why: "they stay behind: after the cutover whoever reads by them sees nothing new",
    mitigation: "find out who reads; publish the same on the target, and let them drain the source",
    owner: Owner::Database,
    judge: others,
};

fn others(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let topic = "source: its slots and readers";
        let Some(replication) = verdict.known(topic, &database.replication) else { return };
        for slot in replication.slots.iter().filter(|slot| !slot.logical) {
            let state = if slot.active { "in use" } else { "not in use" };
            let (name, retains) = (&slot.name, bytes(slot.retained_bytes));
            let evidence = format!("physical slot {name} ({state}, retains {retains})");
            verdict.fires(Side::Source, evidence);
        }
        for publication in &replication.publications {
            verdict.fires(Side::Source, format!("publication {publication}"));
        }
    })
}

pub(super) const FAILOVER: Check = Check {
    id: "R28-failover-slots",
    title: "A failover of the source would lose the slot",
    severity: High,
    rule: "it is declared that the source can fail over, and no standby is named whose slots are \
           synchronised",
    why: "the promoted standby has no slot: changes are lost to the stream and the copy begins anew",
    mitigation: "from PostgreSQL 17 on set sync_replication_slots and synchronized_standby_slots; \
                 before, declare that nothing is promoted during the move",
    owner: Owner::Database,
    judge: failover,
};

fn failover(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let topic = "source: its standbys";
        let Some(replication) = verdict.known(topic, &database.replication) else { return };
        let fails_over = inventory.answered(&questions::FAILS_OVER);
        let why = match fails_over {
            Some((Answer::YesNo(false), _)) => return,
            Some((_, place)) => format!("declared in {place} that it can fail over"),
            // With standbys the preflight asks for the same answer.
            None if replication.replicas.is_empty() => {
                return verdict.cannot_tell(unanswered(&questions::FAILS_OVER));
            }
            None => return,
        };
        let Some(settings) = settings(Side::Source, database, verdict) else { return };
        // The standby's own setting cannot be seen from the primary; the primary's waits for it.
        let waits = settings.get("synchronized_standby_slots").is_some_and(|it| !it.is_empty());
        if !waits {
            verdict
                .fires(Side::Source, format!("{why}; synchronized_standby_slots names no standby"));
        }
    })
}

pub(super) const HEALTHY: Check = Check {
    id: "R50-broken-already",
    title: "Something is broken already",
    severity: High,
    rule: "standbys lag, slots are lost, checksums failed, indexes are invalid, or \
           subscriptions fail",
    why: "a move on top of a fault hides the fault, and is blamed for it",
    mitigation: "mend it first",
    owner: Owner::Database,
    judge: healthy,
};

fn healthy(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        if let Some(replication) =
            verdict.known(format!("{side}: its replication"), &database.replication)
        {
            for replica in &replication.replicas {
                if replica.lag_bytes.is_none_or(|lag| lag > LAG_BYTES) {
                    let behind = replica.lag_bytes.map_or("unknown".to_owned(), bytes);
                    let (name, state) = (&replica.name, &replica.state);
                    verdict.fires(side, format!("standby {name} ({state}) is behind by {behind}"));
                }
            }
            for slot in &replication.slots {
                if slot.wal_status.as_deref().is_some_and(|it| ["unreserved", "lost"].contains(&it))
                {
                    let status = slot.wal_status.as_deref().unwrap_or_default();
                    verdict.fires(side, format!("slot {} is {status}", slot.name));
                }
            }
        }
        if let Some(trouble) = verdict.known(format!("{side}: its faults"), &database.trouble) {
            if trouble.checksum_failures > 0 {
                let failures = count(trouble.checksum_failures, "checksum failure");
                verdict.fires(side, failures);
            }
            if !trouble.invalid_indexes.is_empty() {
                let indexes = list(&trouble.invalid_indexes);
                verdict.fires(
                    side,
                    format!("invalid indexes (REINDEX INDEX CONCURRENTLY each): {indexes}"),
                );
            }
            if !trouble.subscription_errors.is_empty() {
                let failing = list(&trouble.subscription_errors);
                verdict.fires(side, format!("failing subscriptions: {failing}"));
            }
        }
    })
}

fn settings<'a>(
    side: Side,
    database: &'a Database,
    verdict: &mut Verdict,
) -> Option<&'a BTreeMap<String, String>> {
    verdict.known(format!("{side}: its settings"), &database.settings)
}

/// A setting that is a number.
pub(super) fn number(
    side: Side,
    database: &Database,
    name: &str,
    verdict: &mut Verdict,
) -> Option<u64> {
    let number = settings(side, database, verdict)?.get(name).and_then(|text| text.parse().ok());
    if number.is_none() {
        verdict.cannot_tell(format!("{side}: {name} was not told"));
    }
    number
}
