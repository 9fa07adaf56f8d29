//! What the guard costs when the fault is real.

use crate::in_parallel;
use crate::methods::{Method, Work, nominal};
use crate::table::{print as print_table, quantile};
use crate::world::{Canary, Fault, HORIZON, NONE, World, ramp};

const LATE: usize = 1200;

/// θ, and the design's figures without and with its guard.
const FAULTS: [(f64, &str); 4] =
    [(2.0, "354 → 650"), (5.0, "98 → 181"), (10.0, "43 → 135"), (100.0, "5 → 63")];

/// Prints the table.
pub(crate) fn print(runs: u64) {
    println!(
        "### The guard's price: median delay of a late fault, W1, threshold 100 ({runs} runs)\n"
    );
    let rows: Vec<Vec<String>> = FAULTS
        .iter()
        .map(|(theta, design)| {
            let fault = Fault { from: LATE, theta: *theta, ..NONE };
            let mut row = vec![format!("θ = {theta}")];
            for guarded in [false, true] {
                let mut delays = in_parallel(runs, |seed| delay(fault, guarded, seed));
                delays.sort_by(f64::total_cmp);
                row.push(format!("{}/{}", quantile(&delays, 0.5), quantile(&delays, 0.9)));
            }
            row.push((*design).to_owned());
            row
        })
        .collect();
    let head = ["fault", "unguarded, median/p90", "guarded", "design's medians"];
    print_table(&head.map(str::to_owned), &rows);
}

fn delay(fault: Fault, guarded: bool, seed: u64) -> f64 {
    let method = Method::Mixture { guarded };
    let mut canary = Canary::new(World::Poisson, fault, seed);
    let mut work = Work::new(method, 1);
    for at in 0..HORIZON {
        let second = canary.second(at, ramp(at));
        let alarm = work.second(at, &second).is_some_and(|s| s >= nominal(method, 1));
        if alarm && at >= fault.from {
            return (at - fault.from + 1) as f64;
        }
    }
    f64::INFINITY
}
