//! Damages the data on purpose, to show that the checks would find it.

use changeover_testkit::Cluster;
use uuid::Uuid;

use crate::load::{Count, Ledger};
use crate::options::Spoil;
use crate::reaper::Reaper;
use crate::stage;

/// Damages the copy.
///
/// # Errors
/// What `psql` said.
pub(crate) fn green(spoils: &[Spoil], green: &Cluster, reaper: &Reaper) -> Result<(), String> {
    for spoil in spoils {
        let damage = match spoil {
            Spoil::ChangedRow => "UPDATE documents SET body = body || '!' WHERE title LIKE '% 7'",
            Spoil::MissingRow => "DELETE FROM access_log WHERE ctid = '(0,1)'",
            _ => continue,
        };
        stage::sql(green, stage::DATABASE, damage, reaper)?;
    }
    Ok(())
}

/// Damages what the load wrote.
///
/// # Errors
/// If the load wrote too little, or what `psql` said.
pub(crate) fn blue(
    spoils: &[Spoil],
    blue: &Cluster,
    ledger: &Ledger,
    reaper: &Reaper,
) -> Result<(), String> {
    if spoils.is_empty() {
        return Ok(());
    }
    let picked = Picked::from(ledger).ok_or("the load wrote too little to damage")?;
    for spoil in spoils {
        if let Some(damage) = picked.damage(*spoil) {
            stage::sql(blue, stage::DATABASE, &damage, reaper)?;
        }
    }
    Ok(())
}

/// A victim for each kind of damage, all different.
struct Picked {
    lost: Uuid,
    torn: Uuid,
    doubled: Uuid,
    lost_touch: i64,
    doubled_touch: i64,
    cart: i64,
}

impl Picked {
    fn from(ledger: &Ledger) -> Option<Picked> {
        let mut orders = ledger.orders.keys().copied();
        let once = |(_, count): &(&i64, &Count)| count.acknowledged == 1 && count.unknown == 0;
        let mut touched = ledger.touches.iter().filter(once).map(|(id, _)| *id);
        Some(Picked {
            lost: orders.next()?,
            torn: orders.next()?,
            doubled: orders.next()?,
            lost_touch: touched.next()?,
            doubled_touch: touched.next()?,
            cart: ledger.carts.iter().find(once).map(|(id, _)| *id)?,
        })
    }

    fn damage(&self, spoil: Spoil) -> Option<String> {
        let touch = |sign: &str, id: i64| {
            format!("UPDATE customers SET touches = touches {sign} 1 WHERE id = {id}")
        };
        Some(match spoil {
            // Its pieces stay missing from stock, or the stock check would count it again.
            Spoil::LostOrder => {
                let this = format!("(SELECT id FROM orders WHERE request_id = '{}')", self.lost);
                format!(
                    "DELETE FROM billing.payments WHERE order_id = {this}; \
                     DELETE FROM orders WHERE request_id = '{}'",
                    self.lost
                )
            }
            Spoil::TornOrder => format!(
                "DELETE FROM order_lines WHERE line_no = 1 AND order_id = \
                 (SELECT id FROM orders WHERE request_id = '{}')",
                self.torn
            ),
            Spoil::DoubledOrder => format!(
                "ALTER TABLE orders DROP CONSTRAINT orders_request_id_key; \
                 ALTER TABLE orders DISABLE TRIGGER USER; \
                 INSERT INTO orders (request_id, customer_id, status, total, meta, placed_at) \
                 SELECT request_id, customer_id, status, total, meta, placed_at FROM orders \
                 WHERE request_id = '{}'",
                self.doubled
            ),
            Spoil::InventedOrder => "INSERT INTO orders (request_id, customer_id) \
                                     VALUES (gen_random_uuid(), 1)"
                .to_owned(),
            Spoil::LostTouch => touch("-", self.lost_touch),
            Spoil::DoubledTouch => touch("+", self.doubled_touch),
            Spoil::LostCart => format!("DELETE FROM carts WHERE id = {}", self.cart),
            Spoil::ChangedRow | Spoil::MissingRow => return None,
        })
    }
}
