//! Who is connected, and what is open.

use changeover_types::{Side, questions};

use crate::answers::sighted;
use crate::check::{Check, Owner, Verdict, database, each_database};
use crate::finding::Severity::High;
use crate::inventory::Inventory;
use crate::words::{count, list, seconds};

/// A connection this old is never renewed by a pool.
const LONG_LIVED_S: u64 = 3_600;

pub(super) const LONG_TRANSACTIONS: Check = Check {
    id: "R05-long-transactions",
    title: "Transactions that stay open",
    severity: High,
    rule: "a transaction is older than ten minutes, or was idle through the whole sample",
    why: "a slot waits for every writer to end before it exists, and the cutover for every session",
    mitigation: "end it; set idle_in_transaction_session_timeout; find who forgets to commit",
    owner: Owner::Application,
    judge: long_transactions,
};

fn long_transactions(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        let topic = format!("{side}: its open transactions");
        let Some(activity) = verdict.known(topic, &database.activity) else { return };
        for open in &activity.open {
            let state = if open.idle { "idle in transaction" } else { "in a transaction" };
            let evidence = format!(
                "{} as {} ({}), {state} for {}",
                or_unnamed(&open.application),
                open.user,
                open.pid,
                seconds(open.age_s)
            );
            let fix = format!("SELECT pg_terminate_backend({});", open.pid);
            verdict.fires(side, evidence).mended_by(fix);
        }
    })
}

pub(super) const PREPARED: Check = Check {
    id: "R06-prepared-transactions",
    title: "Prepared transactions",
    severity: High,
    rule: "either side has prepared transactions",
    why: "they hold their locks until somebody ends them, and no slot can be made meanwhile",
    mitigation: "commit or roll back each; find the transaction manager that left it",
    owner: Owner::Application,
    judge: prepared,
};

fn prepared(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        let topic = format!("{side}: its prepared transactions");
        let Some(prepared) = verdict.known(topic, &database.prepared) else { return };
        if !prepared.is_empty() {
            let evidence = list(prepared);
            verdict.fires(side, evidence).mended_by("ROLLBACK PREPARED '…'; -- each of them");
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
