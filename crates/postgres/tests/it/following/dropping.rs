//! Every effect can stand being dropped wherever it awaits: what it held ends with it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use changeover_postgres::catalog::Selection;
use changeover_postgres::grant::Grant;
use changeover_postgres::lease::{Lease, LeaseBudget};
use changeover_postgres::resolve::resolve_seal;
use changeover_postgres::schema::{Archive, Tools};
use changeover_postgres::session::Session;
use changeover_postgres::snapshot::{CopySnapshot, SnapshotLimits};
use changeover_postgres::verify::aligned;
use changeover_relay::Stream;
use changeover_types::Epoch;
use changeover_types::Side::{Source, Target};
use tokio::time::sleep;

use super::world::{Running, SOON, World};

const DDL: &str =
    "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY);
    INSERT INTO t SELECT g, 'v' FROM generate_series(1, 200) g;";

/// The sessions of ours that nobody but a follower may have.
const SESSIONS: &str = "SELECT coalesce(string_agg(application_name || ' ' || state, ', '), '') \
    FROM pg_stat_activity WHERE application_name LIKE 'changeover%' \
    AND application_name NOT IN ('changeover relay', 'changeover apply m forward')";

/// The slot of the copy's snapshot.
const SLOT: &str = "dropping";

const BUDGET: LeaseBudget =
    LeaseBudget { total: Duration::from_secs(30), lock_wait: Duration::from_secs(10) };

/// Polls at most `polls` times, then drops; true if it came to its end.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> bool {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

/// Whom the world is asked through.
struct Witness {
    sides: [Session; 2],
}

impl Witness {
    async fn new(world: &World) -> Witness {
        Witness { sides: [world.session(Source).await, world.session(Target).await] }
    }

    /// Nothing of what was dropped is left: no session, and with them no lock and no temporary slot.
    async fn sees_nothing(&mut self, what: &str, polls: usize) {
        let begun = std::time::Instant::now();
        loop {
            let mut left = String::new();
            for session in &mut self.sides {
                let rows = session.query(SESSIONS).await.unwrap();
                left.push_str(rows.first().and_then(|row| row.get(0)).unwrap_or_default());
            }
            if left.is_empty() && children().is_empty() {
                // Slots outlive us: the next daemon removes them by name.
                let slot = "SELECT pg_drop_replication_slot(slot_name) \
                            FROM pg_replication_slots WHERE slot_name = 'dropping'";
                self.sides[0].execute(slot).await.unwrap();
                return;
            }
            let children = children();
            assert!(begun.elapsed() < SOON, "{what}, dropped after {polls}: {left} {children:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The living programs that this process has started for PostgreSQL's schema.
fn children() -> Vec<String> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let lists = tasks.flatten().map(|t| std::fs::read_to_string(t.path().join("children")));
    let pids: Vec<String> =
        lists.flatten().flat_map(|l| l.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let stat = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let living = pids.iter().filter_map(stat).filter(|stat| !stat.contains(") Z "));
    living.filter(|stat| stat.contains("(pg_dump)") || stat.contains("(pg_restore)")).collect()
}

/// Drops what `effect` makes at each of its awaits in turn, until it comes to its end.
async fn at_each_await<T, F: Future<Output = T>>(
    what: &str,
    witness: &mut Witness,
    mut effect: impl FnMut() -> F,
) {
    let mut polls = 1;
    while !polled(polls, effect()).await {
        witness.sees_nothing(what, polls).await;
        polls += 1;
        assert!(polls < 2_000, "{what} never comes to its end");
    }
    assert!(polls > 3, "{what} does not await, or is broken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_effect_holds_ends_with_it() {
    let world = World::new("dropping", DDL).await;
    let mut witness = Witness::new(&world).await;
    let (source, scope) = (world.config(Source), world.scope(Source));

    at_each_await("a lease", &mut witness, || async {
        let mut lease = Lease::take(&source, &scope, Epoch(2), "run", BUDGET).await.unwrap();
        lease.arm().await.unwrap();
        lease.release().await.unwrap();
    })
    .await;

    let (target, taking) = (world.config(Target), world.scope(Target));
    at_each_await("a grant", &mut witness, || async {
        let grant = Grant::prepare(&target, &taking, Epoch(2), "run", BUDGET).await.unwrap();
        grant.abandon().await.unwrap();
    })
    .await;

    at_each_await("a resolver", &mut witness, || async {
        let sealed = resolve_seal(&source, &scope, Epoch(2), None, None, SOON).await.unwrap();
        assert!(!sealed);
    })
    .await;

    let selection = Selection::everything(world.migration.clone());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.dump");
    let tools = Tools::find(15).await.unwrap();
    at_each_await("a snapshot and its schema", &mut witness, || async {
        let limits = SnapshotLimits::default();
        let taken = CopySnapshot::take(&source, &selection, SLOT, limits, &|_| {}).await.unwrap();
        let (catalog, name) = (&taken.catalog, Some(taken.name.as_str()));
        Archive::dump(&tools, &source, &selection, catalog, name, &path, true).await.unwrap();
        taken.release().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_that_is_dropped_lets_the_relay_go_on() {
    let world = World::new("letgo", DDL).await;
    let mut forward = world.follow(Stream::Forward);
    let mut witness = Witness::new(&world).await;
    let config = world.aligned(Duration::from_secs(30));
    let handle = forward.handle.clone();
    let (mut polls, mut nonce) = (1, 0);
    let mut held = 0;
    loop {
        let compared = async { aligned(&config, &handle, &world.tables, |_| {}).await.unwrap() };
        let done = polled(polls, compared).await;
        held += u32::from(handle.status().held.is_some());
        witness.sees_nothing("a comparison", polls).await;
        nonce += 1;
        goes_on(&world, &mut forward, nonce).await;
        if done {
            break;
        }
        polls += 1;
    }
    assert!(held > 0, "it was never dropped while it held the relay");
    forward.stop().await;
}

async fn goes_on(world: &World, forward: &mut Running, nonce: u64) {
    world.barrier(Source, nonce).await;
    forward.applied(nonce).await;
    assert_eq!(forward.handle.status().held, None);
}
