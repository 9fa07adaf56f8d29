//! Whether a canary's metrics from outside have a value, before a run depends on them: on the
//! source, for the target has no requests yet.

use std::time::Duration;

use changeover_plan::{Plan, Step};
use changeover_types::Side;
use tokio::time::timeout;

use crate::guards::prometheus;

const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What is not there, in words.
pub(super) async fn silent(plan: &Plan) -> Vec<String> {
    let mut silent = Vec::new();
    for placed in plan.steps() {
        let Step::Canary(canary) = placed.step else { continue };
        for metric in &canary.outside {
            let query = metric.query_of(Side::Source);
            let asking = prometheus::ask(&metric.url, &query, None);
            let late = || format!("no answer within {} s", ANSWER_WITHIN.as_secs());
            let answer = timeout(ANSWER_WITHIN, asking).await.unwrap_or_else(|_| Err(late()));
            if let Err(why) = answer {
                let (name, path, url) = (&metric.name, &placed.path, &metric.url);
                silent.push(format!(
                    "{name} of the source, which {path} would wait for: {url}: {why}"
                ));
            }
        }
    }
    silent
}
