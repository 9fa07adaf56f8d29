//! Simulates canaries, ours and others' verdicts on them, and prints tables for
//! `docs/benchmarks.md`: false alarms, a race at equal false alarms, the guard, promotion, users, metrics from
//! outside.
//!
//! The shipping core judges; only the worlds and the rivals live here. Every run has the seed
//! `SEED + its number`, so each table can be repeated exactly.

mod alarms;
mod guard;
mod methods;
mod outside;
mod promotion;
mod race;
mod random;
mod rivals;
mod table;
mod users;
mod world;

use std::time::Instant;

/// The first run's seed.
pub(crate) const SEED: u64 = 20_261_126;

fn main() {
    let scale: f64 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1.0);
    let runs = |full: f64| ((full * scale) as u64).max(20);
    let begun = Instant::now();
    println!(
        "Seeds from {SEED} on; scale {scale}; figures of the design's own simulation in [].\n"
    );
    if std::env::args().nth(2).as_deref() == Some("outside") {
        outside::print(runs(4000.0));
        return;
    }
    let calibration = alarms::print(runs(4000.0));
    race::print(runs(400.0), &calibration);
    guard::print(runs(400.0));
    promotion::print(runs(300.0));
    users::print(runs(2000.0));
    outside::print(runs(4000.0));
    println!("\nThe whole took {:.0} s.", begun.elapsed().as_secs_f64());
}

/// Runs `work` for so many seeds on two threads; results in the order of the seeds.
pub(crate) fn in_parallel<T: Send>(runs: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let half = runs / 2;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| (half..runs).map(|run| work(SEED + run)).collect::<Vec<_>>());
        let mut all: Vec<T> = (0..half).map(|run| work(SEED + run)).collect();
        match second.join() {
            Ok(more) => all.extend(more),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        all
    })
}
