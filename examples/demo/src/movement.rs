//! The demo proper: the shop moves from blue to green under load, and back if asked.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};
use std::{fs, thread};

use changeover_testkit::Cluster;

use crate::changeover::{Changeover, Seen};
use crate::check::{self, Authority, Baseline};
use crate::children;
use crate::load::{Load, Record};
use crate::options::{Green, Options};
use crate::plan_file::{self, Addresses};
use crate::reaper::Reaper;
use crate::stage;
use crate::summary::{Expected, Summary};

/// The load runs alone for so long before the move, and after each part of it.
const QUIET: Duration = Duration::from_secs(3);

/// Who says yes to the phases that wait for it; the demo's plan names the same person.
const OPERATOR: &str = "operator";

/// What `apply` exits with when a verdict said no and everything went back.
const ROLLED_BACK: i32 = 3;

/// Writes that must have happened on green before going back.
const WRITES_BEFORE_ROLLBACK: u64 = 200;

/// How long the side without authority may take to apply the last writes.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Everything that runs; its order is the order in which it is dropped.
struct Scene {
    load: Load,
    changeover: Changeover,
    _children: Vec<Child>,
    blue: Cluster,
    green: Cluster,
    before: Baseline,
    out: PathBuf,
}

/// Runs the demo.
///
/// # Errors
/// If it cannot be carried through; a bad result is in the summary.
pub(crate) fn run(options: &Options, reaper: &Reaper) -> Result<Summary, String> {
    fs::create_dir_all(&options.out)
        .and_then(|()| fs::canonicalize(&options.out))
        .map_err(|e| format!("making {}: {e}", options.out.display()))
        .and_then(|out| {
            let scene = set(options, &out, reaper)?;
            play(scene, options, reaper)
        })
}

/// Clusters, data, gate, shops, load.
fn set(options: &Options, out: &Path, reaper: &Reaper) -> Result<Scene, String> {
    let program = children::beside("changeover")?;
    println!("folder {}", reaper.folder().display());
    let blue = stage::cluster("blue", reaper)?;
    let green = stage::cluster("green", reaper)?;
    for cluster in [&blue, &green] {
        stage::role_and_database(cluster, reaper)?;
    }
    println!("blue   127.0.0.1:{}  {}", blue.port(), stage::load_shop(&blue, reaper)?);
    println!("green  127.0.0.1:{}  empty", green.port());
    let before = with_runtime(async {
        let client = check::connect(&blue.url(stage::DATABASE)).await?;
        check::baseline(&client).await
    })?;

    let [http_gate, postgres_gate, v1, v2] = stage::free_addresses()?;
    let addresses = Addresses { http_gate, postgres_gate, v1, v2 };
    let changeover = Changeover {
        program,
        plan: plan_file::render(&options.plan, out, &addresses)?,
        blue: blue.url(stage::DATABASE),
        green: green.url(stage::DATABASE),
        state: reaper.folder().join("state"),
    };
    let log = out.join("gate.log");
    let mut gate = changeover.gate(&log, reaper)?;
    for at in [http_gate, postgres_gate] {
        stage::wait_for_port(at, &mut gate, "the gate", &log)?;
    }
    println!("gate   http {http_gate}, postgres {postgres_gate}");
    let mut running = vec![gate];
    for (version, at) in [("v1", v1), ("v2", v2)] {
        let name = format!("the shop {version}");
        let log = out.join(format!("shop-{version}.log"));
        let fault = options.green.fault().filter(|_| version == "v2");
        let database = stage::shop_url(postgres_gate);
        let mut shop = stage::shop(version, at, &database, fault, out, reaper)?;
        stage::wait_for_port(at, &mut shop, &name, &log)?;
        stage::wait_for_health(at, &name)?;
        let bad = fault.map_or(String::new(), |fault| format!("; it is {fault}"));
        println!("shop   {version} {at}, its database is the gate{bad}");
        running.push(shop);
    }
    stage::wait_for_health(http_gate, "the shop behind the gate")?;
    println!("load   {} requests a second, open loop, 30 % writes", options.rate);
    let load = Load::start(http_gate, options.rate);
    let out = out.to_owned();
    Ok(Scene { load, changeover, _children: running, blue, green, before, out })
}

/// The move, the way back, the count.
fn play(scene: Scene, options: &Options, reaper: &Reaper) -> Result<Summary, String> {
    wait_for_answers(&scene.load, u64::from(options.rate) * QUIET.as_secs() / 2)?;
    println!("\n$ changeover apply {} --approve-as {OPERATOR}", options.plan.display());
    let mut seen = Seen::default();
    let moved = move_it(&scene, options, &mut seen, reaper);
    let Scene { load, changeover, _children, blue, green, before, out } = scene;
    let record = load.finish()?;
    changeover.keep_state(&out)?;
    if let Err(why) = moved {
        tell(&record);
        return Err(why);
    }
    let expected = Expected::of(options);
    println!("\nload stopped; looking for every write and comparing every row");
    let summary = with_runtime(async {
        let left = check::connect(&blue.url(stage::DATABASE)).await?;
        let right = check::connect(&green.url(stage::DATABASE)).await?;
        let authority = check::authority(&left, &right).await?;
        let side = if authority == Authority::Blue { &left } else { &right };
        let writes = check::check_writes(side, &record.ledger, &before).await?;
        let rows = check::compare_until_equal(&left, &right, CATCH_UP).await?;
        Ok(Summary::new(record, writes, &rows, &seen, authority, expected))
    })?;
    summary.save(&out)?;
    summary.print();
    Ok(summary)
}

fn move_it(
    scene: &Scene,
    options: &Options,
    seen: &mut Seen,
    reaper: &Reaper,
) -> Result<(), String> {
    let bad = options.green != Green::Good;
    let code = if bad { ROLLED_BACK } else { 0 };
    scene.changeover.watch("apply", &["--approve-as", OPERATOR], code, seen, reaper)?;
    let arrived = scene.load.acknowledged();
    let where_ = if bad { "writes on blue" } else { "writes on green" };
    wait(|| scene.load.acknowledged() >= arrived + WRITES_BEFORE_ROLLBACK, where_)?;
    if options.rollback && !bad {
        println!("\n$ changeover rollback {} --yes", options.plan.display());
        scene.changeover.watch("rollback", &["--yes"], 0, seen, reaper)?;
        let returned = scene.load.acknowledged();
        wait(|| scene.load.acknowledged() >= returned + WRITES_BEFORE_ROLLBACK, "writes on blue")?;
    }
    Ok(())
}

/// What the clients saw of a move that did not come to its end.
fn tell(record: &Record) {
    let meter = &record.meter;
    println!(
        "\n{} requests so far: {} failed, {} with unknown outcome",
        meter.requests(),
        meter.failed,
        meter.indeterminate
    );
    for message in &meter.messages {
        println!("  ! {message}");
    }
}

fn wait_for_answers(load: &Load, number: u64) -> Result<(), String> {
    wait(|| load.answered() >= number, "answers to the load")
}

fn wait(done: impl Fn() -> bool, what: &str) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        if Instant::now() > deadline {
            return Err(format!("there were not enough {what} within a minute"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn with_runtime<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("starting a runtime: {e}"))?
        .block_on(work)
}
