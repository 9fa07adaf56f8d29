//! Who is connected, and what is open.

use changeover_types::{Side, questions};

use crate::answers::sighted;
use crate::check::{Check, Owner, Verdict, database, each_database};
use crate::finding::Severity::High;
use crate::inventory::Inventory;
use crate::words::{count, seconds};

/// A connection this old is never renewed by a pool.
const LONG_LIVED_S: u64 = 3_600;
/// The preflight judges transactions that are older.
const LONG_S: u64 = 300;

pub(super) const FORGOTTEN: Check = Check {
    id: "R05-forgotten-transactions",
    title: "Transactions that somebody forgets",
    severity: High,
    rule: "a transaction was idle through the whole sample (older ones are the preflight's)",
    why: "a slot waits for every writer to end before it exists, and the cutover for every session",
    mitigation: "end it (SELECT pg_terminate_backend(pid)); set idle_in_transaction_session_timeout; \
                 find who forgets to commit",
    owner: Owner::Application,
    judge: forgotten,
};

fn forgotten(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        let topic = format!("{side}: its open transactions");
        let Some(activity) = verdict.known(topic, &database.activity) else { return };
        for open in activity.open.iter().filter(|open| open.idle && open.age_s < LONG_S) {
            let (by, user, pid) = (or_unnamed(&open.application), &open.user, open.pid);
            let age = seconds(open.age_s);
            let evidence = format!("{by} as {user} ({pid}), idle in transaction for {age}");
            verdict.fires(side, evidence);
        }
    })
}

pub(super) const LONG_LIVED: Check = Check {
    id: "R38-long-lived-connections",
    title: "Connections that nobody renews",
    severity: High,
    rule: "database sessions are older than an hour, or clients close connections never or after \
           more than an hour",
    why: "a connection that never ends stays on the old side (WebSocket, gRPC, pools)",
    mitigation: "give pools and servers a maximum age of some minutes before the move",
    owner: Owner::Application,
    judge: long_lived,
};

fn long_lived(inventory: &Inventory) -> Verdict {
    let mut verdict = database(inventory, Side::Source, |database, verdict| {
        let Some(activity) = verdict.known("source: its clients", &database.activity) else {
            return;
        };
        for client in activity.clients.iter().filter(|client| client.oldest_s > LONG_LIVED_S) {
            verdict.fires(
                Side::Source,
                format!(
                    "{} as {}: {}, the oldest open for {}",
                    or_unnamed(&client.application),
                    client.user,
                    count(client.sessions, "session"),
                    seconds(client.oldest_s)
                ),
            );
        }
    });
    if inventory.source.upstreams.is_empty() && inventory.source.database.is_none() {
        return verdict;
    }
    verdict.not_applicable = None;
    if let Ok(long) = inventory.around.long_lived.get() {
        sighted(long, &mut verdict);
    }
    match inventory.number(&questions::MAX_CONNECTION_AGE) {
        Some((age_ms, _)) if (1..=LONG_LIVED_S * 1000).contains(&age_ms) => {}
        Some((age_ms, place)) => {
            let age = match age_ms {
                0 => "never closed".to_owned(),
                _ => format!("closed after {}", seconds(age_ms / 1000)),
            };
            verdict.fires(None, format!("connections are {age} (declared in {place})"));
        }
        None => {
            inventory.answer(&questions::MAX_CONNECTION_AGE, &mut verdict);
        }
    }
    verdict
}

fn or_unnamed(text: &str) -> &str {
    if text.is_empty() { "an unnamed client" } else { text }
}
