//! Asks a canary's metrics from outside, beside the gate: a slow server is in nobody's way.

use std::collections::BTreeSet;
use std::time::Duration;

use changeover_plan::{Outside, Plan, Step};
use changeover_run::canary::{WatchRules, Watching, outside_due};
use changeover_types::{Side, WallMs};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::now;
use crate::guards::prometheus;

/// Both answers of a pair must have come by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

type Pair = Result<(f64, f64), String>;

/// The questions under way; dropping it drops them, and they are asked again by whoever comes next.
pub(super) struct Asking<'p> {
    metrics: &'p [Outside],
    under_way: BTreeSet<usize>,
    asked: JoinSet<(usize, WallMs, Pair)>,
}

impl<'p> Asking<'p> {
    pub(super) fn of(plan: &'p Plan, step: usize) -> Asking<'p> {
        let metrics = match plan.steps().nth(step).map(|placed| placed.step) {
            Some(Step::Canary(canary)) => canary.outside.as_slice(),
            _ => &[],
        };
        Asking { metrics, under_way: BTreeSet::new(), asked: JoinSet::new() }
    }

    /// Asks what is due, and takes in what has come, which is to be written down.
    pub(super) fn go_on(
        &mut self,
        rules: &WatchRules,
        watching: &mut Watching,
        since: WallMs,
    ) -> Vec<(usize, WallMs, Pair)> {
        let mut taken = Vec::new();
        while let Some(answer) = self.asked.try_join_next() {
            let Ok((index, asked, pair)) = answer else {
                self.under_way.clear();
                continue;
            };
            self.under_way.remove(&index);
            watching.take_outside(rules, index, asked, pair.clone());
            taken.push((index, asked, pair));
        }
        for index in outside_due(rules, watching, since, now()) {
            let Some(metric) = self.metrics.get(index) else { continue };
            if self.under_way.insert(index) {
                let (metric, asked) = (metric.clone(), now());
                self.asked.spawn(async move { (index, asked, ask(&metric).await) });
            }
        }
        taken
    }
}

async fn ask(metric: &Outside) -> Pair {
    let [source, target] = [Side::Source, Side::Target].map(|side| metric.query_of(side));
    let asking = prometheus::pair(&metric.url, [&source, &target]);
    timeout(ANSWER_WITHIN, asking).await.unwrap_or_else(|_| {
        Err(format!("{}: no answer within {} s", metric.url, ANSWER_WITHIN.as_secs()))
    })
}
