//! Whether every acknowledged write is there, whole, exactly once, and no other.

use std::cmp::Ordering;
use std::collections::HashMap;

use tokio_postgres::Client;
use uuid::Uuid;

use super::causes;
use crate::load::{Count, Ledger};

/// How many findings are told in words.
const TOLD: usize = 10;

/// What was there before the first write of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Baseline {
    newest_order: i64,
    newest_audit: i64,
    pieces: i64,
}

/// The result.
#[derive(Debug, Default)]
pub(crate) struct WritesCheck {
    /// Acknowledged, and not there, or not whole.
    pub(crate) missing: u64,
    /// There more often than acknowledged, or never sent at all.
    pub(crate) duplicated: u64,
    /// The first findings, in words.
    pub(crate) findings: Vec<String>,
}

impl WritesCheck {
    fn missing(&mut self, number: u64, what: String) {
        self.missing += number;
        self.tell(format!("missing: {what}"));
    }

    fn duplicated(&mut self, number: u64, what: String) {
        self.duplicated += number;
        self.tell(format!("too many: {what}"));
    }

    fn tell(&mut self, what: String) {
        if self.findings.len() < TOLD {
            self.findings.push(what);
        }
    }
}

/// Reads what the checks compare with; before the load starts.
///
/// # Errors
/// If the database cannot be read.
pub(crate) async fn baseline(client: &Client) -> Result<Baseline, String> {
    let row = client
        .query_one(
            "SELECT (SELECT max(id) FROM public.orders), (SELECT max(id) FROM public.audit_log),
                    (SELECT sum(on_hand) FROM public.stock)",
            &[],
        )
        .await
        .map_err(|e| format!("reading where the load begins: {}", causes(&e)))?;
    let read = |e: tokio_postgres::Error| causes(&e);
    Ok(Baseline {
        newest_order: row.try_get(0).map_err(read)?,
        newest_audit: row.try_get(1).map_err(read)?,
        pieces: row.try_get(2).map_err(read)?,
    })
}

/// Looks for every write of the ledger on the side that has authority.
///
/// # Errors
/// If the database cannot be read.
pub(crate) async fn check_writes(
    client: &Client,
    ledger: &Ledger,
    before: &Baseline,
) -> Result<WritesCheck, String> {
    let said = |e: tokio_postgres::Error| format!("looking for the writes: {}", causes(&e));
    let mut check = WritesCheck::default();
    orders(client, ledger, before, &mut check).await.map_err(said)?;
    let touches = "SELECT id, touches FROM public.customers WHERE touches <> 0";
    let found = counters(client, touches).await.map_err(said)?;
    counted("updates of customer", &ledger.touches, &found, &mut check);
    let carts = "SELECT id, revision FROM public.carts WHERE revision <> 0";
    let found = counters(client, carts).await.map_err(said)?;
    counted("writes of cart", &ledger.carts, &found, &mut check);
    if ledger.unknown_orders.is_empty() {
        sums(client, ledger, before, &mut check).await.map_err(said)?;
    }
    Ok(check)
}

/// What all orders together did to rows that they share. Only exact if no order is in doubt.
async fn sums(
    client: &Client,
    ledger: &Ledger,
    before: &Baseline,
    check: &mut WritesCheck,
) -> Result<(), tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT (SELECT sum(on_hand) FROM public.stock),
                    (SELECT sum(orders)::bigint FROM public.sales)",
            &[],
        )
        .await?;
    let (left, sold): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let orders = i64::try_from(ledger.orders.len()).unwrap_or(i64::MAX);
    let sums =
        [("pieces taken from stock", ledger.pieces, before.pieces - left), ("sales", orders, sold)];
    for (what, acknowledged, there) in sums {
        let words = format!("{what}: {there} there, {acknowledged} acknowledged");
        match there.cmp(&acknowledged) {
            Ordering::Less => check.missing(1, words),
            Ordering::Greater => check.duplicated(1, words),
            Ordering::Equal => {}
        }
    }
    Ok(())
}

/// An order is whole with all its lines, one payment, one event, and two audit rows.
async fn orders(
    client: &Client,
    ledger: &Ledger,
    before: &Baseline,
    check: &mut WritesCheck,
) -> Result<(), tokio_postgres::Error> {
    let rows = client
        .query(
            "WITH audits AS (SELECT row_key::bigint AS id, count(*) AS n FROM public.audit_log
                             WHERE id > $2 AND relation = 'orders' GROUP BY 1),
                  told AS (SELECT (payload->>'order')::bigint AS id, count(*) AS n
                           FROM public.events WHERE kind = 'order' AND payload ? 'order' GROUP BY 1)
             SELECT o.request_id,
                    (SELECT count(*) FROM public.order_lines l WHERE l.order_id = o.id),
                    (SELECT count(*) FROM billing.payments p WHERE p.order_id = o.id),
                    coalesce(a.n, 0), coalesce(t.n, 0)
             FROM public.orders o LEFT JOIN audits a USING (id) LEFT JOIN told t USING (id)
             WHERE o.id > $1 ORDER BY o.id",
            &[&before.newest_order, &before.newest_audit],
        )
        .await?;
    let mut seen: HashMap<Uuid, u64> = HashMap::new();
    for row in &rows {
        let id: Uuid = row.try_get(0)?;
        let times = seen.entry(id).or_default();
        *times += 1;
        if *times > 1 {
            continue;
        }
        let Some(lines) = ledger.orders.get(&id) else {
            if !ledger.unknown_orders.contains(&id) {
                check.duplicated(1, format!("order {id}, which was never acknowledged"));
            }
            continue;
        };
        let found: [i64; 4] = [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?];
        if found != [*lines, 1, 2, 1] {
            let [l, p, a, e] = found;
            let words = format!(
                "parts of order {id}: {l} lines of {lines}, {p} payments of 1, {a} audit rows of \
                 2, {e} events of 1"
            );
            check.missing(1, words);
        }
    }
    for id in ledger.orders.keys() {
        match seen.get(id) {
            None => check.missing(1, format!("order {id}")),
            Some(1) => {}
            Some(n) => check.duplicated(n - 1, format!("order {id}, {n} times")),
        }
    }
    Ok(())
}

async fn counters(
    client: &Client,
    query: &str,
) -> Result<HashMap<i64, u64>, tokio_postgres::Error> {
    let mut found = HashMap::new();
    for row in client.query(query, &[]).await? {
        let count: i64 = row.try_get(1)?;
        found.insert(row.try_get(0)?, u64::try_from(count).unwrap_or(0));
    }
    Ok(found)
}

fn counted(
    what: &str,
    sent: &HashMap<i64, Count>,
    found: &HashMap<i64, u64>,
    check: &mut WritesCheck,
) {
    for (id, count) in sent {
        let there = found.get(id).copied().unwrap_or(0);
        let most = count.acknowledged + count.unknown;
        let words = || format!("{what} {id}: {there} there, {} acknowledged", count.acknowledged);
        if there < count.acknowledged {
            check.missing(count.acknowledged - there, words());
        } else if there > most {
            check.duplicated(there - most, words());
        }
    }
    for (id, there) in found.iter().filter(|(id, _)| !sent.contains_key(id)) {
        check.duplicated(*there, format!("{what} {id}: {there} there, none acknowledged"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(acknowledged: u64, unknown: u64, there: u64) -> (u64, u64) {
        let sent = HashMap::from([(1, Count { acknowledged, unknown })]);
        let mut check = WritesCheck::default();
        counted("x", &sent, &HashMap::from([(1, there)]), &mut check);
        (check.missing, check.duplicated)
    }

    #[test]
    fn a_counter_must_lie_between_the_certain_and_the_possible() {
        assert_eq!(checked(3, 0, 3), (0, 0));
        assert_eq!(checked(3, 2, 3), (0, 0));
        assert_eq!(checked(3, 2, 5), (0, 0));
        assert_eq!(checked(3, 2, 6), (0, 1));
        assert_eq!(checked(3, 2, 1), (2, 0));
    }

    #[test]
    fn a_count_of_something_nobody_sent_is_one_too_many() {
        let mut check = WritesCheck::default();
        counted("x", &HashMap::new(), &HashMap::from([(9, 2)]), &mut check);
        assert_eq!((check.missing, check.duplicated), (0, 2));
    }
}
