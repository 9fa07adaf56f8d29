//! The verdicts that are compared. Each is a statistic that grows with the evidence, looked at in
//! its own rhythm; an alarm is the statistic beyond a threshold. So each can be run at its nominal
//! threshold, and all of them at the one that gives the same false alarms.

use changeover_canary::{Evidence, Grid, Guard, StreamName};

use crate::rivals::{Fixed, Kayenta, LabelZ};
use crate::world::{HORIZON, QUANTILES, SOURCE, STREAMS, Second, TARGET};

/// A way to judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Method {
    /// Ours: the process with a reserve.
    Mixture { guarded: bool },
    /// Everything on the grid at once, never again.
    FromTheBeginning,
    /// Begun anew at each weight, its α split 1/(s(s+1)).
    Restart,
    /// Kayenta's rule, once.
    KayentaAtEnd,
    /// Each minute, from so many minutes on.
    KayentaEachMinute { from: usize, sliding: Option<usize> },
    /// More than this share of the target's requests of a minute failed, so many times.
    Fixed { share: f64, failures: usize },
    /// The share of a minute itself, for a threshold of any height.
    FixedShare,
    /// A two-sample z of the failure shares, at the end.
    CrudeZ,
    /// The labels' z at the end.
    LabelZ,
    /// The same at eight looks with O'Brien and Fleming's boundary.
    OBrienFleming,
}

/// The statistic's threshold for `α` = 1 % by each method's own rules.
pub(crate) fn nominal(method: Method, streams: usize) -> f64 {
    // Rivals have no correction for several metrics; the label z of the note has none either.
    match method {
        Method::Mixture { .. } | Method::FromTheBeginning | Method::Restart => {
            streams as f64 / 0.01
        }
        Method::KayentaAtEnd | Method::KayentaEachMinute { .. } => 2.326_348,
        Method::Fixed { failures, .. } => failures as f64 - 0.5,
        Method::FixedShare => 0.01,
        Method::CrudeZ | Method::LabelZ => 2.326_348,
        // For eight looks at one-sided 1 %: see `OBF` in the printout, found by simulation.
        Method::OBrienFleming => 2.41,
    }
}

/// A method at work on one canary.
pub(crate) struct Work {
    method: Method,
    streams: usize,
    grids: Vec<Grid>,
    evidence: Vec<Evidence>,
    weight: f64,
    step: f64,
    minutes: Kayenta,
    fixed: Fixed,
    labels: Vec<LabelZ>,
    totals: [[u64; 2]; 2],
}

impl Work {
    /// The first so many streams are looked at.
    pub(crate) fn new(method: Method, streams: usize) -> Work {
        let slower = QUANTILES.iter().map(|q| StreamName::Slower { quantile: *q });
        let names: Vec<StreamName> =
            std::iter::once(StreamName::Failures).chain(slower).take(streams).collect();
        let mut grids: Vec<Grid> = names.iter().map(|name| name.grid()).collect();
        if matches!(method, Method::FromTheBeginning | Method::Restart) {
            // As it was first proposed: twelve points.
            grids[0] = Grid::log_spaced(1.1, 50.0, 12);
        }
        let evidence = grids.iter().map(|grid| fresh(method, grid)).collect();
        Work {
            method,
            streams,
            grids,
            evidence,
            weight: 0.0,
            step: 1.0,
            minutes: Kayenta::new(streams),
            fixed: Fixed::default(),
            labels: vec![LabelZ::default(); STREAMS],
            totals: [[0; 2]; 2],
        }
    }

    /// Takes a second in and gives the statistic, if this is a moment to look.
    pub(crate) fn second(&mut self, at: usize, second: &Second) -> Option<f64> {
        match self.method {
            Method::Mixture { guarded } => self.bet(second, guarded),
            Method::FromTheBeginning | Method::Restart => self.bet(second, false),
            Method::KayentaAtEnd => self.minutes.second(second).then(|| {
                if at + 1 == HORIZON { self.minutes.statistic(None) } else { f64::NEG_INFINITY }
            }),
            Method::KayentaEachMinute { from, sliding } => {
                let whole = self.minutes.second(second);
                (whole && self.minutes.count() >= from).then(|| self.minutes.statistic(sliding))
            }
            Method::Fixed { share, .. } => self.fixed.second(at, second, share).map(|(n, _)| n),
            Method::FixedShare => self.fixed.second(at, second, 0.0).map(|(_, share)| share),
            Method::CrudeZ => {
                for side in [SOURCE, TARGET] {
                    self.totals[side][0] += second.requests[side];
                    self.totals[side][1] += second.bad[0][side];
                }
                (at + 1 == HORIZON).then(|| crude_z(self.totals))
            }
            Method::LabelZ => self.label_z(second, at + 1 == HORIZON, 1.0),
            Method::OBrienFleming => {
                let look = (at + 1) / 300;
                let now = (at + 1).is_multiple_of(300);
                // Beyond c·√(8/k) at look k is the statistic z·√(k/8) beyond c.
                self.label_z(second, now, (look as f64 / 8.0).sqrt())
            }
        }
    }

    fn bet(&mut self, second: &Second, guarded: bool) -> Option<f64> {
        if self.method == Method::Restart && second.weight != self.weight {
            if self.weight > 0.0 {
                self.step += 1.0;
                self.evidence = self.grids.iter().map(|grid| fresh(self.method, grid)).collect();
            }
            self.weight = second.weight;
        }
        let mut most: f64 = 0.0;
        for stream in 0..self.streams {
            let [source, target] = second.bad[stream];
            let evidence = &mut self.evidence[stream];
            evidence.begin_second();
            evidence.add(&self.grids[stream], second.weight, target, source);
            evidence.end_second(match (guarded, stream) {
                (false, _) => Guard::Off,
                (true, 0) => Guard::Seconds,
                (true, _) => Guard::Tens,
            });
            most = most.max(evidence.wealth());
        }
        // The share 1/(s(s+1)) of α is a threshold s(s+1) times as high.
        let split =
            if self.method == Method::Restart { self.step * (self.step + 1.0) } else { 1.0 };
        Some(most / split)
    }

    fn label_z(&mut self, second: &Second, now: bool, scale: f64) -> Option<f64> {
        for stream in 0..self.streams {
            self.labels[stream].add(second.weight, second.bad[stream]);
        }
        let all = self.labels[..self.streams].iter().map(LabelZ::z);
        now.then(|| scale * all.fold(f64::NEG_INFINITY, f64::max))
    }
}

fn fresh(method: Method, grid: &Grid) -> Evidence {
    match method {
        Method::FromTheBeginning | Method::Restart => Evidence::from_the_beginning(grid),
        _ => Evidence::of_any_time(grid),
    }
}

fn crude_z(totals: [[u64; 2]; 2]) -> f64 {
    let [[n0, x0], [n1, x1]] = totals.map(|side| side.map(|v| v as f64));
    let pooled = (x0 + x1) / (n0 + n1);
    let spread = (pooled * (1.0 - pooled) * (1.0 / n0 + 1.0 / n1)).sqrt();
    if spread > 0.0 { (x1 / n1 - x0 / n0) / spread } else { 0.0 }
}
