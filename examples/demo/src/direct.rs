//! No move: the load straight onto one shop and one cluster, to try the load and the checks.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use changeover_testkit::Cluster;

use crate::changeover::Seen;
use crate::check::{self, Authority, RowsCheck};
use crate::load::Load;
use crate::options::Options;
use crate::reaper::Reaper;
use crate::spoil;
use crate::stage;
use crate::summary::{Expected, Summary};

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
    println!("folder {}", reaper.folder().display());
    let blue = stage::cluster("blue", reaper)?;
    stage::role_and_database(&blue, reaper)?;
    println!("blue: {}", stage::load_shop(&blue, reaper)?);
    let (before, url) = (runtime.block_on(baseline(&blue))?, blue.url(stage::DATABASE));

    let [listen] = stage::free_addresses()?;
    let database = stage::shop_url(([127, 0, 0, 1], blue.port()).into());
    let mut shop = stage::shop("v1", listen, &database, None, &options.out, reaper)?;
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
        spoil::green(&options.spoil, &green, reaper)?;
        rows = runtime.block_on(async {
            let left = check::connect(&url).await?;
            let right = check::connect(&green.url(stage::DATABASE)).await?;
            check::compare(&left, &right).await
        })?;
    }
    spoil::blue(&options.spoil, &blue, &record.ledger, reaper)?;
    let writes = runtime.block_on(async {
        let client = check::connect(&url).await?;
        check::check_writes(&client, &record.ledger, &before).await
    })?;
    let seen = Seen::default();
    let summary = Summary::new(record, writes, &rows, &seen, Authority::Blue, Expected::direct());
    summary.save(&options.out)?;
    summary.print();
    Ok(summary)
}

async fn baseline(blue: &Cluster) -> Result<check::Baseline, String> {
    let client = check::connect(&blue.url(stage::DATABASE)).await?;
    check::baseline(&client).await
}
