//! The facts of an inventory in a few lines each.

use changeover_types::Side;

use crate::fact::Fact;
use crate::inventory::{Database, Inventory, Upstream};
use crate::words::{bytes, count, list};

/// A fact in words, or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactLine {
    /// Whose: `source`, `target`.
    pub side: Side,
    /// Of what: `size`, `change rate`.
    pub topic: &'static str,
    /// The value, or the reason.
    pub text: String,
    /// Who said so.
    pub source: String,
    /// Whether it is known.
    pub known: bool,
}

/// What a person wants to see of an inventory at first.
#[must_use]
pub fn summary(inventory: &Inventory) -> Vec<FactLine> {
    let mut lines = Vec::new();
    for side in [Side::Source, Side::Target] {
        let environment = inventory.side(side);
        if let Some(database) = environment.database.as_deref() {
            of_database(side, database, &mut lines);
        }
        for upstream in &environment.upstreams {
            of_upstream(side, upstream, &mut lines);
        }
    }
    lines
}

fn line<T>(
    side: Side,
    topic: &'static str,
    fact: &Fact<T>,
    show: impl FnOnce(&T) -> String,
) -> FactLine {
    let (text, known) = match fact.get() {
        Ok(value) => (show(value), true),
        Err(why) => (why.to_owned(), false),
    };
    FactLine { side, topic, text, source: fact.source.clone(), known }
}

fn of_database(side: Side, database: &Database, lines: &mut Vec<FactLine>) {
    let mut add = |line| lines.push(line);
    add(line(side, "database", &database.server, |server| {
        format!("PostgreSQL {} at {}, {}", server.major, database.url, server.encoding)
    }));
    add(line(side, "size", &database.disk, |disk| bytes(disk.database_bytes)));
    add(line(side, "tables", &database.relations, |tables| {
        let sum = |part: fn(&crate::inventory::Relation) -> u64| {
            bytes(tables.iter().map(part).fold(0, u64::saturating_add))
        };
        let mut widest: Vec<_> = tables.iter().collect();
        widest.sort_by_key(|table| (std::cmp::Reverse(table.bytes()), table.name.clone()));
        let largest = widest.iter().filter(|table| table.bytes() > 0).take(3);
        let largest = list(largest.map(|table| format!("{} {}", table.name, bytes(table.bytes()))));
        let number = count(tables.len() as u64, "table");
        let (heap, toast) = (sum(|t| t.heap_bytes), sum(|t| t.toast_bytes));
        let index = sum(|t| t.index_bytes);
        let largest = if largest.is_empty() { String::new() } else { format!("; {largest}") };
        format!("{number}: rows {heap}, large values {toast}, indexes {index}{largest}")
    }));
    add(line(side, "change rate", &database.rate, |rate| {
        let busiest = list(rate.tables.iter().take(3).map(|table| &table.name));
        let busiest = if busiest.is_empty() { String::new() } else { format!("; {busiest}") };
        format!(
            "{}/s of log, {} commits/s over {} s{busiest}",
            bytes(rate.wal_bytes_s),
            rate.commits_s,
            rate.over_ms.div_ceil(1_000)
        )
    }));
    add(line(side, "read rate", &database.read_bytes_s, |rate| format!("{}/s", bytes(*rate))));
    add(line(side, "clients", &database.activity, |activity| {
        let sessions = activity.clients.iter().map(|client| client.sessions).sum();
        let who = list(activity.clients.iter().map(|client| {
            let name = if client.application.is_empty() { "unnamed" } else { &client.application };
            format!("{name} as {} ({})", client.user, client.sessions)
        }));
        let who = if who.is_empty() { String::new() } else { format!(": {who}") };
        format!("{}{who}", count(sessions, "session"))
    }));
    add(line(side, "extensions", &database.extensions, |extensions| {
        if extensions.is_empty() {
            return "none".to_owned();
        }
        list(extensions.iter().map(|it| format!("{} {}", it.name, it.version)))
    }));
    add(line(side, "round trip", &database.round_trip_us, |us| {
        format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
    }));
    add(line(side, "clock", &database.clock_skew_ms, |ms| format!("{ms:+} ms")));
}

fn of_upstream(side: Side, upstream: &Upstream, lines: &mut Vec<FactLine>) {
    lines.push(line(side, "upstream", &upstream.health, |health| {
        let kept = if health.keep_alive { "kept open" } else { "closed after each request" };
        format!(
            "{}{} answers {} in {:.1} ms, at most {:.1} ms, {}, {kept}",
            upstream.url,
            health.path,
            health.status,
            health.latency_ms,
            health.latency_max_ms,
            health.http
        )
    }));
    if let Some(tls) = &upstream.tls {
        lines.push(line(side, "certificate", tls, |certificate| {
            let end = changeover_types::calendar::date(certificate.not_after);
            format!("for {} until {end}", list(&certificate.names))
        }));
    }
    if upstream.version.get().is_ok() {
        lines.push(line(side, "version", &upstream.version, Clone::clone));
    }
}
