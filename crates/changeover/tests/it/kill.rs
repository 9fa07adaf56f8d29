//! A migration survives the death of each of its processes at each of its moments.

mod matrix;
mod nested;
mod proof;
mod repeated;
mod signals;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::stage::{PATIENCE, Pair, Stage, until};

/// The variable that makes the daemon kill itself at a record of its journal.
const CRASH_AT: &str = "CHANGEOVER_CRASH_AT";

/// What an operator asks for is answered when it is durable; that is so many records.
const RECORDS_OF_A_REQUEST: u64 = 2;

/// A place to die at: just before or just after a record is durable.
#[derive(Clone, Copy, Debug)]
struct CrashAt {
    record: u64,
    durable: bool,
}

impl CrashAt {
    /// Both edges of each of these records.
    fn each(records: impl IntoIterator<Item = u64>) -> Vec<CrashAt> {
        let both = |record| [false, true].map(|durable| CrashAt { record, durable });
        records.into_iter().flat_map(both).collect()
    }
}

impl fmt::Display for CrashAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.record, if self.durable { "post" } else { "pre" })
    }
}

/// Runs all cases, so many side by side, and fails with all that failed.
pub(crate) fn side_by_side<T: Sync>(lanes: usize, cases: &[T], run: impl Fn(usize, &T) + Sync) {
    let next = Mutex::new(0..cases.len());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                loop {
                    let Some(index) = next.lock().unwrap().next() else { return };
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(index, &cases[index])));
                    if let Err(panic) = outcome {
                        failed.lock().unwrap().push(said(panic.as_ref()));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n\n"));
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// How often the supervisor found the daemon dead.
fn deaths(stage: &Stage) -> usize {
    stage.run_log().matches("the daemon died").count()
}

/// Runs a verb whose daemon dies on the way; it must come to its end by itself all the same. A
/// daemon that dies over the very request takes its answer along: then the verb says so, and is
/// given again.
fn through_a_crash(stage: &Stage, verb: &str, crash: CrashAt) {
    let before = deaths(stage);
    let begun = Instant::now();
    let of_the_request = crash.record <= stage.journal().len() as u64 + RECORDS_OF_A_REQUEST;
    let mut ran = stage
        .begin(verb, &[], &[(CRASH_AT, &crash.to_string())])
        .end(PATIENCE)
        .unwrap_or_else(|e| panic!("{crash}: {e}\n{}", stage.report()));
    if of_the_request && ran.code == Some(1) && ran.error().contains("CO0160") {
        ran = stage.verb(verb);
    }
    assert_eq!(
        ran.code,
        Some(0),
        "`{verb}` with a crash at {crash} after {:?}: {}\n{}",
        begun.elapsed(),
        ran.error(),
        stage.report()
    );
    let died = until(Duration::from_secs(5), || (deaths(stage) > before).then_some(()));
    assert!(died.is_some(), "nothing died at {crash}; {}", stage.report());
}

/// Stops the daemon and waits until it is gone, so that the next verb starts another.
fn stop_daemon(stage: &Stage) {
    stage.expect("stop", 0);
    let gone = until(PATIENCE, || {
        (stage.pid("run.pid").is_none() && stage.pid("supervisor.pid").is_none()).then_some(())
    });
    assert!(gone.is_some(), "the daemon does not stop; {}", stage.report());
}

/// Which side has authority, by both databases' rows: exactly one.
fn authority(stage: &Stage) -> &'static str {
    match stage.authority() {
        (source, target) if source == "source" && target != "target" => "source",
        (source, target) if source != "source" && target == "target" => "target",
        both => panic!("authority is {both:?}; {}", stage.report()),
    }
}

/// The databases of a finished case make room for the next.
fn tidy(pair: &Pair, stage: Stage) {
    let name = stage.name.clone();
    drop(stage);
    for cluster in [&pair.blue, &pair.green] {
        crate::stage::remove_database(cluster, &name);
    }
}
