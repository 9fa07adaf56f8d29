//! False alarms: both sides are the same.

use crate::in_parallel;
use crate::methods::{Method, Work, nominal};
use crate::table::{percent, print as print_table};
use crate::world::{Canary, HORIZON, NONE, STREAMS, World, ramp};

const EACH_MINUTE: Method = Method::KayentaEachMinute { from: 5, sliding: None };

/// Each method with the design's own figures for the worlds below.
const METHODS: [(&str, Method, [&str; 7]); 14] = [
    (
        "from the beginning",
        Method::FromTheBeginning,
        [".40", ".53", ".60", ".22", "73", "61", "92"],
    ),
    ("restart at each weight", Method::Restart, [".22", ".27", ".20", ".05", "86", "74", "95"]),
    (
        "**ours**: with a reserve",
        Method::Mixture { guarded: false },
        [".40", ".60", ".35", ".15", "99", "99", "99.7"],
    ),
    (
        "**ours**, guarded",
        Method::Mixture { guarded: true },
        [".22", ".10", "–", "–", "1.7", ".13", "–"],
    ),
    ("Kayenta at the end", Method::KayentaAtEnd, ["0", "0", "0", "0", ".2", "0", "0"]),
    ("Kayenta each minute, n ≥ 5", EACH_MINUTE, ["2.0", ".05", ".25", ".07", ".7", "0", ".05"]),
    (
        "the same, n ≥ 2",
        Method::KayentaEachMinute { from: 2, sliding: None },
        ["18", "5", "7", "–", "–", "–", "–"],
    ),
    (
        "fixed 1 %",
        Method::Fixed { share: 0.01, failures: 1 },
        ["0", "91", ".1", "92", "91", "–", "92"],
    ),
    (
        "fixed 0.3 %",
        Method::Fixed { share: 0.003, failures: 1 },
        ["65", "99.8", "100", "99.9", "–", "–", "–"],
    ),
    (
        "fixed 1 %, 5 times",
        Method::Fixed { share: 0.01, failures: 5 },
        ["0", "11", "0", "14", "10", "–", "11"],
    ),
    ("crude z at the end", Method::CrudeZ, ["1.1", "30", "32", "–", "38", "34", "34"]),
    ("label z at the end", Method::LabelZ, ["1.0", "1.0", ".6", "1.1", "37", "63", "4"]),
    (
        "O'Brien–Fleming, 8 looks",
        Method::OBrienFleming,
        ["1.1", "1.1", ".9", "1.1", "–", "–", "19"],
    ),
    ("fixed share, calibrated below", Method::FixedShare, ["–"; 7]),
];

const WORLDS: [(&str, World); 7] = [
    ("W1 Poisson", World::Poisson),
    ("W2 shared bursts", World::SharedBursts),
    ("W3 diurnal", World::Diurnal),
    ("W2+4 with latency", World::BurstsAndLatency),
    ("W6 private bursts 1:1", World::PrivateBursts(1)),
    ("W6 9:1", World::PrivateBursts(9)),
    ("W7 source fails 29 s later", World::LateSource),
];

/// The thresholds at which each method gives 1 % of false alarms in W2+4.
pub(crate) struct Calibration(Vec<(Method, f64)>);

impl Calibration {
    pub(crate) fn threshold(&self, method: Method) -> f64 {
        self.0.iter().find(|(known, _)| *known == method).map_or(f64::INFINITY, |(_, at)| *at)
    }
}

/// Prints the table, and calibrates for the race.
pub(crate) fn print(runs: u64) -> Calibration {
    println!("### False alarms, % (nominal 1 %, {runs} runs of 40 minutes)\n");
    let mut most: Vec<Vec<Vec<f64>>> = Vec::new();
    for (_, world) in WORLDS {
        let streams = if world == World::BurstsAndLatency { STREAMS } else { 1 };
        most.push(in_parallel(runs, |seed| of_one_run(world, streams, seed)));
    }
    let mut head = vec!["method".to_owned()];
    head.extend(WORLDS.map(|(name, _)| name.to_owned()));
    let rows: Vec<Vec<String>> = METHODS
        .iter()
        .enumerate()
        .filter(|(_, (_, method, _))| *method != Method::FixedShare)
        .map(|(at, (name, method, design))| {
            let cell = |world: usize| {
                let streams = if world == 3 { STREAMS } else { 1 };
                let threshold = nominal(*method, streams);
                let hits = most[world].iter().filter(|run| run[at] >= threshold).count();
                format!("{} [{}]", percent(hits, most[world].len()), design[world])
            };
            std::iter::once((*name).to_owned()).chain((0..WORLDS.len()).map(cell)).collect()
        })
        .collect();
    print_table(&head, &rows);
    println!(
        "W7 is the source's failures counted when they are known. The gate decides both sides' \
         requests at one age, which turns W7 into W2.\n"
    );
    let calibrated = METHODS.iter().enumerate().map(|(at, (_, method, _))| {
        let mut all: Vec<f64> = most[3].iter().map(|run| run[at]).collect();
        all.sort_by(f64::total_cmp);
        let one_in_a_hundred = all.len() - (all.len() / 100).max(1);
        (*method, all[one_in_a_hundred] + 1e-9)
    });
    Calibration(calibrated.collect())
}

/// The most that each method's statistic reaches.
fn of_one_run(world: World, streams: usize, seed: u64) -> Vec<f64> {
    let mut canary = Canary::new(world, NONE, seed);
    let mut works: Vec<Work> =
        METHODS.iter().map(|(_, method, _)| Work::new(*method, streams)).collect();
    let mut most = vec![f64::NEG_INFINITY; works.len()];
    for at in 0..HORIZON {
        let second = canary.second(at, ramp(at));
        for (most, work) in most.iter_mut().zip(&mut works) {
            if let Some(statistic) = work.second(at, &second) {
                *most = most.max(statistic);
            }
        }
    }
    most
}
