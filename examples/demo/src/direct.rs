//! No move: the load straight onto one shop and one cluster, to try the load and the checks.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use changeover_testkit::Cluster;

use crate::check::{self, Authority, RowsCheck};
use crate::load::{Ledger, Load};
use crate::options::{Options, Spoil};
use crate::reaper::Reaper;
use crate::stage;
use crate::summary::{RunNumbers, Summary};

/// Runs it.
///
/// # Errors
/// If it cannot be carried through; a bad result is in the summary.
pub(crate) fn run(options: &Options, reaper: &Reaper) -> Result<Summary, String> {
    fs::create_dir_all(&options.out)
        .map_err(|e| format!("making {}: {e}", options.out.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("starting: {e}"))?;
    let blue = stage::cluster("blue", reaper)?;
    stage::role_and_database(&blue, reaper)?;
    println!("blue: {}", stage::load_shop(&blue, reaper)?);
    let (before, url) = (runtime.block_on(baseline(&blue))?, blue.url(stage::DATABASE));

    let [listen] = stage::free_addresses()?;
    let database = stage::shop_url(([127, 0, 0, 1], blue.port()).into());
    let mut shop = stage::shop("v1", listen, &database, &options.out, reaper)?;
    stage::wait_for_port(listen, &mut shop, "the shop", &options.out.join("shop-v1.log"))?;
    stage::wait_for_health(listen, "the shop")?;
    println!("load: {} requests a second for {} s", options.rate, options.seconds);
    let load = Load::start(listen, options.rate);
    let until = Instant::now() + Duration::from_secs(options.seconds);
    while Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
    }
    let record = load.finish()?;

    let mut rows = RowsCheck::default();
    if options.dump {
        let green = stage::cluster("green", reaper)?;
        stage::role_and_database(&green, reaper)?;
        stage::dump_and_restore(&blue, &green, reaper)?;
        spoil_green(options.spoil, &green, reaper)?;
        rows = runtime.block_on(async {
            let left = check::connect(&url).await?;
            let right = check::connect(&green.url(stage::DATABASE)).await?;
            check::compare(&left, &right).await
        })?;
    }
    spoil_blue(options.spoil, &blue, &record.ledger, reaper)?;
    let writes = runtime.block_on(async {
        let client = check::connect(&url).await?;
        check::check_writes(&client, &record.ledger, &before).await
    })?;
    let run = RunNumbers::default();
    let summary = Summary::new(record, writes, &rows, run, Authority::Blue, Authority::Blue);
    summary.save(&options.out)?;
    summary.print();
    Ok(summary)
}

async fn baseline(blue: &Cluster) -> Result<check::Baseline, String> {
    let client = check::connect(&blue.url(stage::DATABASE)).await?;
    check::baseline(&client).await
}

fn spoil_green(spoil: Option<Spoil>, green: &Cluster, reaper: &Reaper) -> Result<(), String> {
    let damage = match spoil {
        Some(Spoil::ChangedRow) => "UPDATE documents SET body = body || '!' WHERE title LIKE '% 7'",
        Some(Spoil::MissingRow) => "DELETE FROM access_log WHERE ctid = '(0,1)'",
        _ => return Ok(()),
    };
    stage::sql(green, stage::DATABASE, damage, reaper)
}

fn spoil_blue(
    spoil: Option<Spoil>,
    blue: &Cluster,
    ledger: &Ledger,
    reaper: &Reaper,
) -> Result<(), String> {
    let (Some(order), Some(touched), Some(cart)) =
        (ledger.orders.keys().next(), ledger.touches.keys().next(), ledger.carts.keys().next())
    else {
        return Ok(());
    };
    let this = format!("WHERE request_id = '{order}'");
    let damage = match spoil {
        Some(Spoil::LostOrder) => format!(
            "UPDATE stock SET on_hand = on_hand + quantity FROM order_lines l JOIN orders o ON \
             o.id = l.order_id {this} AND l.product_id = stock.product_id; \
             DELETE FROM billing.payments WHERE order_id = (SELECT id FROM orders {this}); \
             DELETE FROM orders {this}"
        ),
        Some(Spoil::TornOrder) => format!(
            "DELETE FROM order_lines WHERE line_no = 1 AND order_id = (SELECT id FROM orders {this})"
        ),
        Some(Spoil::DoubledOrder) => format!(
            "ALTER TABLE orders DROP CONSTRAINT orders_request_id_key; \
             ALTER TABLE orders DISABLE TRIGGER USER; \
             INSERT INTO orders (request_id, customer_id, status, total, meta, placed_at) \
             SELECT request_id, customer_id, status, total, meta, placed_at FROM orders {this}"
        ),
        Some(Spoil::InventedOrder) => {
            "INSERT INTO orders (request_id, customer_id) VALUES (gen_random_uuid(), 1)".to_owned()
        }
        Some(Spoil::LostTouch) => {
            format!("UPDATE customers SET touches = touches - 1 WHERE id = {touched}")
        }
        Some(Spoil::DoubledTouch) => {
            format!("UPDATE customers SET touches = touches + 1 WHERE id = {touched}")
        }
        Some(Spoil::LostCart) => format!("DELETE FROM carts WHERE id = {cart}"),
        Some(Spoil::ChangedRow | Spoil::MissingRow) | None => return Ok(()),
    };
    stage::sql(blue, stage::DATABASE, &damage, reaper)
}
