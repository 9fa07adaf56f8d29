//! How long a good canary takes, and what gets through that should not.

use changeover_canary::{Evidence, Grid, Guard, Harmless, Rate};

use crate::in_parallel;
use crate::table::{print as print_table, quantile};
use crate::world::{Canary, Fault, NONE, SOURCE, TARGET, World};

const WEIGHTS: [f64; 3] = [0.05, 0.25, 0.5];
const TWO_HOURS: usize = 7200;
const PROVEN: f64 = 20.0;

/// When a weight may be left.
#[derive(Clone, Copy)]
enum Policy {
    /// After so many seconds without an alarm of the evidence against the target (threshold 100).
    Dwell(usize),
    /// When less than this many times is proven.
    Proof([f64; 3]),
    /// When the target's own rate is proven to be below this.
    Rate([f64; 3]),
}

const POLICIES: [(&str, Policy, &str); 4] = [
    ("8 minutes each", Policy::Dwell(480), "1443; 65 / 2.3 / 0"),
    ("ρ = 1.5 everywhere", Policy::Proof([1.5; 3]), "63 % finish; 0 / 0 / 0"),
    (
        "**graded ρ = 5, 2, 1.5**",
        Policy::Proof([5.0, 2.0, 1.5]),
        "137+290+859 → 1450 (2765); 1.0 / 0 / 0",
    ),
    (
        "absolute 0.5, 0.25, 0.2 %",
        Policy::Rate([0.005, 0.0025, 0.002]),
        "122+98+110 → 366 (558); 62 / .3 / 0",
    ),
];

/// Prints the table.
pub(crate) fn print(runs: u64) {
    println!("### Promotion, β = 5 %, W1, two hours ({runs} runs)\n");
    let mut rows = Vec::new();
    for (name, policy, design) in POLICIES {
        let good = in_parallel(runs, |seed| steps(policy, 1.0, seed));
        let finished = good.iter().filter(|steps| steps.len() == 3).count();
        let mut row = vec![name.to_owned()];
        let medians: Vec<String> = (0..3)
            .map(|step| {
                let of_step = |steps: &Vec<f64>| steps.get(step).copied().unwrap_or(f64::INFINITY);
                let mut all: Vec<f64> = good.iter().map(of_step).collect();
                all.sort_by(f64::total_cmp);
                quantile(&all, 0.5)
            })
            .collect();
        let total = |steps: &Vec<f64>| {
            if steps.len() == 3 { steps.iter().sum() } else { f64::INFINITY }
        };
        let mut totals: Vec<f64> = good.iter().map(total).collect();
        totals.sort_by(f64::total_cmp);
        row.push(format!(
            "{} → {} ({}); {:.0} % finish",
            medians.join("+"),
            quantile(&totals, 0.5),
            quantile(&totals, 0.9),
            100.0 * finished as f64 / runs as f64
        ));
        for theta in [1.5, 2.0, 5.0] {
            let through = in_parallel(runs, |seed| steps(policy, theta, seed).len() == 3);
            let count = through.iter().filter(|through| **through).count();
            row.push(format!("{:.1}", 100.0 * count as f64 / runs as f64));
        }
        row.push(design.to_owned());
        rows.push(row);
    }
    let head = [
        "policy",
        "good canary: medians → total (p90), s",
        "promotes θ = 1.5, %",
        "θ = 2",
        "θ = 5",
        "design's figures",
    ];
    print_table(&head.map(str::to_owned), &rows);
}

/// How long each weight took; fewer than three if it did not get through.
fn steps(policy: Policy, theta: f64, seed: u64) -> Vec<f64> {
    let mut canary = Canary::new(World::Poisson, Fault { theta, ..NONE }, seed);
    let grid = Grid::failures();
    let mut evidence = Evidence::of_any_time(&grid);
    let (mut took, mut begun) = (Vec::new(), 0);
    let mut proof = Proof::new(policy, 0);
    for at in 0..TWO_HOURS {
        let Some(weight) = WEIGHTS.get(took.len()).copied() else { break };
        let second = canary.second(at, weight);
        let [source, target] = second.bad[0];
        evidence.begin_second();
        evidence.add(&grid, weight, target, source);
        evidence.end_second(Guard::Off);
        if evidence.wealth() >= 100.0 {
            break;
        }
        if proof.holds(weight, second.requests[TARGET], [source, target], at + 1 - begun) {
            took.push((at + 1 - begun) as f64);
            begun = at + 1;
            proof = Proof::new(policy, took.len().min(2));
        }
    }
    took
}

enum Proof {
    Dwell(usize),
    Harmless(Harmless),
    Rate(Rate),
}

impl Proof {
    fn new(policy: Policy, step: usize) -> Proof {
        match policy {
            Policy::Dwell(seconds) => Proof::Dwell(seconds),
            Policy::Proof(rho) => Proof::Harmless(Harmless::than(rho[step])),
            Policy::Rate(limit) => Proof::Rate(Rate::below(limit[step])),
        }
    }

    fn holds(&mut self, weight: f64, requests: u64, bad: [u64; 2], seconds: usize) -> bool {
        match self {
            Proof::Dwell(wanted) => seconds >= *wanted,
            Proof::Harmless(harmless) => {
                harmless.add(weight, bad[TARGET], bad[SOURCE]);
                harmless.wealth() >= PROVEN
            }
            Proof::Rate(rate) => {
                rate.add(requests, bad[TARGET]);
                rate.wealth() >= PROVEN
            }
        }
    }
}
