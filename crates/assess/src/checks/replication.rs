//! Whether the change stream can flow: log level, slots, senders, space, and who else reads it.

use std::collections::BTreeMap;

use changeover_types::{Answer, Side, questions};

use super::capacity::copy_seconds;
use crate::answers::unanswered;
use crate::check::{Check, Owner, Verdict, database, each_database};
use crate::finding::Severity::{Blocker, High, Medium};
use crate::inventory::{Database, Inventory};
use crate::words::{bytes, count, list, seconds};

/// What a migration needs: one slot of its own and one for an aligned verification.
const SLOTS_NEEDED: u64 = 2;
/// Apply sessions, copy jobs and our own workers on the target.
const TARGET_WORKERS_NEEDED: u64 = 8;
/// A shorter timeout ends senders that wait for a slow apply.
const SENDER_TIMEOUT_MS: u64 = 30_000;
const DAY_S: u64 = 86_400;
/// A standby this far behind is behind already.
const LAG_BYTES: u64 = 64 * 1024 * 1024;

pub(super) const WAL_LEVEL: Check = Check {
    id: "R01-wal-level",
    title: "The log does not carry what a change stream needs",
    severity: Blocker,
    rule: "wal_level is not logical on either side",
    why: "without it the source cannot send its changes, and the target cannot send them back",
    mitigation: "set wal_level to logical; that needs a restart of the server, so plan it early",
    owner: Owner::Database,
    judge: wal_level,
};

fn wal_level(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        let Some(settings) = settings(side, database, verdict) else { return };
        match settings.get("wal_level").map(String::as_str) {
            Some("logical") => {}
            None => verdict.cannot_tell(format!("{side}: wal_level was not told")),
            Some(level) => {
                let found = verdict.fires(side, format!("wal_level is {level}"));
                found.mended_by("ALTER SYSTEM SET wal_level = logical; -- then restart the server");
            }
        }
    })
}

pub(super) const SLOTS: Check = Check {
    id: "R02-replication-slots",
    title: "No free replication slots",
    severity: Blocker,
    rule: "fewer than two of max_replication_slots are free on either side",
    why: "a migration keeps one slot and needs another for each exact verification",
    mitigation: "raise max_replication_slots (restart), or drop slots that nobody reads",
    owner: Owner::Database,
    judge: slots,
};

fn slots(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        let Some(limit) = number(side, database, "max_replication_slots", verdict) else { return };
        let topic = format!("{side}: its replication slots");
        let Some(replication) = verdict.known(topic, &database.replication) else { return };
        let used = replication.slots.len() as u64;
        let needed = used + SLOTS_NEEDED;
        if limit < needed {
            let found = verdict.fires(side, format!("{used} of {limit} slots are in use"));
            let raised = needed + 2;
            found.mended_by(format!(
                "ALTER SYSTEM SET max_replication_slots = {raised}; -- then restart the server"
            ));
        }
    })
}

pub(super) const SENDERS: Check = Check {
    id: "R03-senders-and-workers",
    title: "Too few WAL senders or workers",
    severity: Blocker,
    rule: "fewer than two free WAL senders on either side, or too few free sessions on the target",
    why: "each stream, each base backup and each standby takes a sender; applying takes sessions",
    mitigation: "raise max_wal_senders (restart), and max_connections on the target",
    owner: Owner::Database,
    judge: senders,
};

fn senders(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        let topic = format!("{side}: its WAL senders");
        let senders = verdict.known(topic, &database.replication).map(|it| it.senders);
        let limit = number(side, database, "max_wal_senders", verdict);
        if let (Some(used), Some(limit)) = (senders, limit)
            && limit < used + SLOTS_NEEDED
        {
            let found = verdict.fires(side, format!("{used} of {limit} WAL senders are in use"));
            let raised = used + SLOTS_NEEDED + 2;
            found.mended_by(format!(
                "ALTER SYSTEM SET max_wal_senders = {raised}; -- then restart the server"
            ));
        }
        if side == Side::Target {
            let limit = number(side, database, "max_connections", verdict);
            let topic = format!("{side}: its sessions");
            let activity = verdict.known(topic, &database.activity);
            if let (Some(limit), Some(activity)) = (limit, activity) {
                let used: u64 = activity.clients.iter().map(|client| client.sessions).sum();
                if limit < used + TARGET_WORKERS_NEEDED {
                    let evidence = format!("{used} of {limit} sessions are in use");
                    let raised = used + 2 * TARGET_WORKERS_NEEDED;
                    verdict.fires(side, evidence).mended_by(format!(
                        "ALTER SYSTEM SET max_connections = {raised}; -- then restart the server"
                    ));
                }
            }
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
    title: "Others read the source's changes",
    severity: High,
    rule: "the source has slots, subscriptions, publications or standbys besides this migration's",
    why: "they stay behind: after the cutover they see nothing new, or break",
    mitigation: "list each reader with its owner; create its slot on the target before the \
                 cutover and let it drain the old one",
    owner: Owner::Database,
    judge: others,
};

fn others(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let topic = "source: its slots and readers";
        let Some(replication) = verdict.known(topic, &database.replication) else { return };
        for slot in &replication.slots {
            let kind = if slot.logical { "logical" } else { "physical" };
            let state = if slot.active { "in use" } else { "not in use" };
            let found = verdict.fires(
                Side::Source,
                format!(
                    "{kind} slot {} ({state}, retains {})",
                    slot.name,
                    bytes(slot.retained_bytes)
                ),
            );
            if !slot.active {
                let name = changeover_types::quote_literal(&slot.name);
                found.mended_by(format!(
                    "SELECT pg_drop_replication_slot({name}); -- if nobody will read it again"
                ));
            }
        }
        for (what, names) in [
            ("subscription", &replication.subscriptions),
            ("publication", &replication.publications),
        ] {
            if !names.is_empty() {
                let number = count(names.len() as u64, what);
                verdict.fires(Side::Source, format!("{number}: {}", list(names)));
            }
        }
        let replicas: Vec<&str> = replication.replicas.iter().map(|it| it.name.as_str()).collect();
        if !replicas.is_empty() {
            let number = count(replicas.len() as u64, "standby");
            verdict.fires(Side::Source, format!("{number}: {}", list(replicas)));
        }
    })
}

pub(super) const FAILOVER: Check = Check {
    id: "R28-failover-slots",
    title: "A failover of the source would lose the slot",
    severity: High,
    rule: "the source can fail over, and its slots are not synchronised to the standby",
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
            None if replication.replicas.is_empty() => {
                return verdict.cannot_tell(unanswered(&questions::FAILS_OVER));
            }
            None => {
                let names = list(replication.replicas.iter().map(|replica| &replica.name));
                format!("standbys are connected ({names}) and nothing is declared of them")
            }
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
    title: "Something is broken or forbidden already",
    severity: High,
    rule: "standbys lag, slots are lost, checksums failed, indexes are invalid, subscriptions \
           fail, or our role lacks rights for replication",
    why: "a move on top of a fault hides the fault, and is blamed for it",
    mitigation: "mend it first; give our role the rights that are named",
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
                let found = verdict.fires(side, format!("invalid indexes: {indexes}"));
                found.mended_by("REINDEX INDEX CONCURRENTLY …; -- each of them");
            }
            if !trouble.subscription_errors.is_empty() {
                let failing = list(&trouble.subscription_errors);
                verdict.fires(side, format!("failing subscriptions: {failing}"));
            }
        }
        if let Some(role) = verdict.known(format!("{side}: our role"), &database.role) {
            let name = changeover_types::quote_ident(&role.name);
            if !role.replication {
                let evidence = format!("our role {} may not replicate", role.name);
                verdict.fires(side, evidence).mended_by(format!("ALTER ROLE {name} REPLICATION;"));
            }
            if !role.replica_role {
                let evidence =
                    format!("our role {} may not set session_replication_role", role.name);
                verdict.fires(side, evidence).mended_by(format!(
                    "GRANT SET ON PARAMETER session_replication_role TO {name};"
                ));
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
