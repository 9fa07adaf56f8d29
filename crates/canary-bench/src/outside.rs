//! Metrics from outside: what the sequential sign test claims, and what breaks it.

use std::collections::VecDeque;
use std::time::Duration;

use changeover_canary::{OutsideRule, Paired};
use changeover_types::WallMs;

use crate::in_parallel;
use crate::random::Random;
use crate::table::{percent, print as print_table, quantile};

/// Two hours, a pair every 30 seconds.
const PAIRS: usize = 240;
const EVERY: Duration = Duration::from_secs(30);
const LATE: usize = PAIRS / 2;

/// Six streams at 1 % together, and one alone.
const THRESHOLD: f64 = 600.0;
const ALONE: f64 = 100.0;

/// How far a value strays from what it should be, as a share of it.
const NOISE: f64 = 0.1;

/// What the values of a side are beside their noise.
#[derive(Clone, Copy)]
enum World {
    /// Nothing.
    Independent,
    /// A load that both share, and that wanders by half.
    SharedLoad,
    /// Each value is the mean of so many, of which all but one were in the value before: a query
    /// that looks back ten times as far as pairs are apart. The plan's reader refuses it.
    Overlapping(usize),
    /// The target alone wanders, as slowly as that.
    OneSideDrifts(f64),
}

/// Prints both tables.
pub(crate) fn print(runs: u64) {
    println!("### Metrics from outside: false alarms in two hours, % ({runs} runs)\n");
    let worlds = [
        ("independent", World::Independent),
        ("load shared by both sides", World::SharedLoad),
        ("windows that overlap tenfold (refused in a plan)", World::Overlapping(10)),
        ("one side drifts for another reason", World::OneSideDrifts(0.98)),
    ];
    let rows: Vec<Vec<String>> = worlds
        .iter()
        .map(|(name, world)| {
            let alarms = |threshold| {
                let alarm = |seed| delay(*world, (1.0, 0), (0.0, threshold), seed).is_finite();
                let hits = in_parallel(runs, alarm).into_iter().filter(|alarm| *alarm).count();
                percent(hits, runs as usize)
            };
            vec![(*name).to_owned(), alarms(ALONE), alarms(THRESHOLD)]
        })
        .collect();
    let head = ["values", "alone at 1 %", "one of six streams at 1 %"];
    print_table(&head.map(str::to_owned), &rows);

    println!("### Metrics from outside: pairs until the alarm, one of six streams ({runs} runs)\n");
    let faults = [1.05, 1.1, 1.2, 1.5, 2.0];
    let rows: Vec<Vec<String>> = faults
        .iter()
        .map(|factor| {
            let delays = |from: usize| {
                let fault = (*factor, from);
                let run = |seed| delay(World::SharedLoad, fault, (0.1, THRESHOLD), seed);
                let mut delays = in_parallel(runs, run);
                delays.sort_by(f64::total_cmp);
                format!("{}/{}", quantile(&delays, 0.5), quantile(&delays, 0.9))
            };
            vec![format!("× {factor}"), delays(0), delays(LATE)]
        })
        .collect();
    let head = ["the target's value", "from the beginning, median/p90", "after an hour"];
    print_table(&head.map(str::to_owned), &rows);
}

/// Pairs from the fault to the alarm.
fn delay(world: World, fault: (f64, usize), (margin, threshold): (f64, f64), seed: u64) -> f64 {
    let (factor, from) = fault;
    let rule = OutsideRule { name: String::new(), margin, higher_is_worse: true, every: EVERY };
    let (mut paired, mut random) = (Paired::default(), Random::new(seed));
    let (mut load, mut drift) = (1.0, 0.0);
    let mut kept: [VecDeque<f64>; 2] = Default::default();
    for at in 0..PAIRS {
        let mut pair = [(); 2].map(|()| 1.0 + NOISE * random.normal());
        match world {
            World::Independent => {}
            World::SharedLoad => {
                load = 1.0 + 0.95 * (load - 1.0) + 0.15 * random.normal();
                pair.iter_mut().for_each(|value| *value *= f64::max(load, 0.1));
            }
            World::Overlapping(many) => {
                for (value, kept) in pair.iter_mut().zip(&mut kept) {
                    kept.push_back(*value);
                    if kept.len() > many {
                        kept.pop_front();
                    }
                    *value = kept.iter().sum::<f64>() / kept.len() as f64;
                }
            }
            World::OneSideDrifts(slowness) => {
                drift =
                    slowness * drift + NOISE * (1.0 - slowness * slowness).sqrt() * random.normal();
                pair[1] += drift;
            }
        }
        if at >= from {
            pair[1] *= factor;
        }
        paired.add(&rule, WallMs(at as u64 * 30_000), Ok((pair[0], pair[1])));
        if at >= from && paired.against() >= threshold {
            return (at - from + 1) as f64;
        }
    }
    f64::INFINITY
}
