//! Sticky users: what goes wrong when requests are counted, and when users run out.

use changeover_canary::{Evidence, Grid, Guard};

use crate::in_parallel;
use crate::random::Random;
use crate::table::{percent, print as print_table};
use crate::world::{HORIZON, RATE, ramp};

const USERS: usize = 20_000;

/// How bad events are counted.
#[derive(Clone, Copy, PartialEq)]
enum Counting {
    PerRequest,
    FirstBad,
    /// Two processes at half of α each, the one with a reserve only while few users were counted.
    Ours,
    /// The same without that limit.
    WithoutLimit,
}

const COUNTINGS: [(&str, Counting, [&str; 2]); 4] = [
    ("per request", Counting::PerRequest, ["18–19", "0"]),
    ("first bad ever, from the beginning", Counting::FirstBad, [".68", "0"]),
    ("first bad, with a reserve, no limit", Counting::WithoutLimit, [".52", "92"]),
    ("**ours**: both, with the limit", Counting::Ours, ["–", "–"]),
];

/// Prints the table.
pub(crate) fn print(runs: u64) {
    println!("### Sticky users: false alarms, % (20 000 users, Zipf 1, {runs} runs)\n");
    let mut rows = Vec::new();
    for (name, counting, design) in COUNTINGS {
        let mut row = vec![name.to_owned()];
        for (at, (rate, theta)) in [(0.001, 1.0), (0.05, 0.5)].into_iter().enumerate() {
            let alarms = in_parallel(runs, |seed| alarms(counting, rate, theta, seed));
            let hits = alarms.iter().filter(|alarm| **alarm).count();
            row.push(format!("{} [{}]", percent(hits, alarms.len()), design[at]));
        }
        rows.push(row);
    }
    let head = ["counting", "both fail 0.1 %", "target better (2.5 % for 5 %), users used up"];
    print_table(&head.map(str::to_owned), &rows);
}

fn alarms(counting: Counting, rate: f64, theta: f64, seed: u64) -> bool {
    let mut random = Random::new(seed);
    let shares: Vec<f64> = (1..=USERS).map(|rank| 1.0 / rank as f64).collect();
    let total: f64 = shares.iter().sum();
    let mut cumulated = Vec::with_capacity(USERS);
    let mut sum = 0.0;
    for share in &shares {
        sum += share / total;
        cumulated.push(sum);
    }
    let places: Vec<f64> = (0..USERS).map(|_| random.uniform()).collect();
    let mut counted = vec![false; USERS];
    let mut counted_share = 0.0;
    let grid = Grid::failures();
    let mut late = Evidence::of_any_time(&grid);
    let mut early = Evidence::from_the_beginning(&grid);
    for at in 0..HORIZON {
        let weight = ramp(at);
        let mut bad = [0_u64; 2];
        // Thinned from the worse side's rate.
        for _ in 0..random.poisson(RATE * rate) {
            let at = random.uniform();
            let user = cumulated.partition_point(|sum| *sum < at).min(USERS - 1);
            let target = places[user] < weight;
            if target && random.uniform() >= theta {
                continue;
            }
            if counting != Counting::PerRequest && counted[user] {
                continue;
            }
            if !counted[user] {
                counted[user] = true;
                counted_share += shares[user] / total;
            }
            bad[usize::from(target)] += 1;
        }
        for evidence in [&mut late, &mut early] {
            evidence.begin_second();
            evidence.add(&grid, weight, bad[1], bad[0]);
            evidence.end_second(Guard::Off);
        }
        let alarm = match counting {
            Counting::PerRequest => late.wealth() >= 100.0,
            Counting::FirstBad => early.wealth() >= 100.0,
            Counting::WithoutLimit => late.wealth() >= 100.0,
            Counting::Ours => {
                early.wealth() >= 200.0 || (counted_share <= 0.1 && late.wealth() >= 200.0)
            }
        };
        if alarm {
            return true;
        }
    }
    false
}
