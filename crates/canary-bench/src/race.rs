//! How soon a bad target is found when all give the same false alarms.

use crate::alarms::Calibration;
use crate::in_parallel;
use crate::methods::{Method, Work};
use crate::table::{print as print_table, quantile};
use crate::world::{Canary, Fault, HORIZON, NONE, STREAMS, TARGET, World, ramp};

const LATE: usize = 1200;

const KAYENTA: Method = Method::KayentaEachMinute { from: 5, sliding: None };

const METHODS: [(&str, Method); 6] = [
    ("**ours**", Method::Mixture { guarded: false }),
    ("from the beginning", Method::FromTheBeginning),
    ("restart", Method::Restart),
    ("O'Brien–Fleming", Method::OBrienFleming),
    ("Kayenta each minute", KAYENTA),
    ("fixed share", Method::FixedShare),
];

/// Faults, and the design's own figures: power · median/p90 of ours, then the best rival's.
const FAULTS: [(&str, Fault, &str); 12] = [
    ("θ = 1.5", Fault { theta: 1.5, ..NONE }, "98 · 1058/1774; OBF 98 · 1500/2100"),
    ("θ = 2", Fault { theta: 2.0, ..NONE }, "592/1011; OBF 900/1200"),
    ("θ = 5", Fault { theta: 5.0, ..NONE }, "139/385; Kayenta 480/840"),
    ("θ = 10", Fault { theta: 10.0, ..NONE }, "60/164; OBF 300/600"),
    ("θ = 2, late", Fault { from: LATE, theta: 2.0, ..NONE }, "98 · 302/785; OBF 95 · 600/1200"),
    ("θ = 5, late", Fault { from: LATE, theta: 5.0, ..NONE }, "89/170; OBF 300/600"),
    ("θ = 10, late", Fault { from: LATE, theta: 10.0, ..NONE }, "38/66; OBF 300/300"),
    ("20 % slower", Fault { slower: 1.2, ..NONE }, "105/230; OBF 300/300"),
    ("20 % slower, late", Fault { from: LATE, slower: 1.2, ..NONE }, "51/79; OBF 300/300"),
    ("slowest 5 % × 1.5, late", Fault { from: LATE, tail: 1.5, ..NONE }, "another tail: 145/245"),
    ("1 % stalls, late", Fault { from: LATE, stalls: 0.01, ..NONE }, "20/33; fixed 60/60"),
    ("9 % slower (no alarm wanted)", Fault { slower: 1.09, ..NONE }, "0 alarms in 400"),
];

/// Prints the table.
pub(crate) fn print(runs: u64, calibration: &Calibration) {
    println!(
        "### The race: every method calibrated to 1 % of false alarms in W2+4 ({runs} runs)\n\n\
         Power % (left out if ≥ 99) · median/p90 delay in seconds · [mean number of bad answers \
         that the target gave until then; in the rows of latency, of answers slower than the \
         source's p99].\n"
    );
    let mut head = vec!["fault".to_owned()];
    head.extend(METHODS.map(|(name, _)| name.to_owned()));
    head.push("design's figures".to_owned());
    let mut rows = Vec::new();
    for (name, fault, design) in FAULTS {
        let outcomes = in_parallel(runs, |seed| one_run(fault, calibration, seed ^ 0x5eed_0000));
        let mut row = vec![name.to_owned()];
        for at in 0..METHODS.len() {
            let mut delays: Vec<f64> = outcomes.iter().map(|run| run[at].0).collect();
            delays.sort_by(f64::total_cmp);
            let found = delays.iter().filter(|delay| delay.is_finite()).count();
            let power = 100.0 * found as f64 / delays.len() as f64;
            let bad: u64 = outcomes.iter().map(|run| run[at].1).sum();
            let mean = bad as f64 / outcomes.len() as f64;
            let power_text = if power >= 99.0 { String::new() } else { format!("{power:.0} · ") };
            let (median, p90) = (quantile(&delays, 0.5), quantile(&delays, 0.9));
            row.push(format!("{power_text}{median}/{p90} [{mean:.0}]"));
        }
        row.push(design.to_owned());
        rows.push(row);
    }
    print_table(&head, &rows);
    println!(
        "All methods look at the same limits here, with the target's tenth of grace; Kayenta and the \
         fixed share at the shares of a minute.\n"
    );
}

/// Per method: the delay from the fault's beginning, and what the target answered badly until then.
/// An alarm before the fault is a false one: the delay counts from the next alarm that would come,
/// which is at once.
fn one_run(fault: Fault, calibration: &Calibration, seed: u64) -> Vec<(f64, u64)> {
    let mut canary = Canary::new(World::BurstsAndLatency, fault, seed);
    let is_slow = fault.theta == 1.0;
    let judged = if is_slow { 3 } else { 0 };
    let mut works: Vec<Work> = METHODS
        .iter()
        .map(|(_, method)| {
            let sliding = (fault.from > 0).then_some(10);
            let method = match method {
                Method::KayentaEachMinute { from, .. } => {
                    Method::KayentaEachMinute { from: *from, sliding }
                }
                other => *other,
            };
            Work::new(method, STREAMS)
        })
        .collect();
    let thresholds: Vec<f64> =
        METHODS.iter().map(|(_, method)| calibration.threshold(*method)).collect();
    let mut outcomes = vec![(f64::INFINITY, 0); works.len()];
    for at in 0..HORIZON {
        let second = canary.second(at, ramp(at));
        for ((outcome, work), threshold) in outcomes.iter_mut().zip(&mut works).zip(&thresholds) {
            if outcome.0.is_finite() {
                continue;
            }
            let statistic = work.second(at, &second);
            if at >= fault.from {
                outcome.1 += second.bad[judged][TARGET];
                if statistic.is_some_and(|statistic| statistic >= *threshold) {
                    outcome.0 = (at - fault.from + 1) as f64;
                }
            }
        }
    }
    outcomes
}
