//! Weights, and the canary's watch.

use std::sync::Arc;
use std::time::Duration;

use changeover_plan::Step;
use changeover_routing::{GateMetrics, Route};
use changeover_run::canary::{Sample, Thresholds, Verdict, judge};
use changeover_run::{Input, State};
use changeover_types::{Side, WallMs};
use tokio::time::{Instant, sleep};

use super::Effects;
use crate::daemon::Board;
use crate::daemon::store::now;
use crate::gates::{GateError, Gates};
use crate::protocol::{CanaryStatus, EventKind, GatesStatus};
use crate::report::chain;

/// A gate that does not answer for this long stops the run.
const GATE_PATIENCE: Duration = Duration::from_secs(30);

/// How often the gate's figures are shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// How often the canary is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Effects {
    /// Orders the gates to send this share of the requests to the target.
    pub(super) async fn set_weight(&mut self, target_permille: u16, state: &State) -> Input {
        let Some(gates) = &self.gates else { return Input::Done };
        let cutover = &state.cutover;
        let route = Route {
            target_permille,
            authority: cutover.authority,
            authority_epoch: cutover.authority_epoch,
        };
        let begun = Instant::now();
        loop {
            match gates.route(cutover.highest, route).await {
                Ok(_) => return Input::Done,
                Err(e) if begun.elapsed() < GATE_PATIENCE => {
                    self.board.say(EventKind::Warning, format!("trying again: {}", chain(&e)));
                    sleep(Duration::from_secs(1)).await;
                }
                Err(e) => return gate_failed(&e),
            }
        }
    }

    /// Watches the canary at its present weight until there is a verdict. Missing figures are
    /// never success: they are waited for.
    pub(super) async fn watch_canary(&mut self, step: usize, since: WallMs) -> Input {
        let Some(thresholds) = self.thresholds(step) else {
            return Input::Failed {
                why: "the present step is not a canary".to_owned(),
                next: "changeover status".to_owned(),
            };
        };
        let Some(gates) = &self.gates else { return Input::Done };
        let weight_permille = self.permille;
        let mut base: Option<(u64, [Sample; 2])> = None;
        let mut silent_since: Option<Instant> = None;
        loop {
            match look(gates).await {
                Ok((incarnation, samples)) => {
                    silent_since = None;
                    // A gate that was restarted counts from zero again.
                    let known = base.take().filter(|(known, _)| *known == incarnation);
                    let (_, start) = known.unwrap_or((incarnation, samples.clone()));
                    let [source, target] = [0, 1].map(|at| samples[at].since(&start[at]));
                    base = Some((incarnation, start));
                    let watched = now().since(since);
                    self.show_verdict(weight_permille, &thresholds, &source, &target, watched);
                    match judge(&thresholds, &source, &target, watched) {
                        Verdict::Passed => return Input::Done,
                        Verdict::Failed { why } => return Input::CheckFailed { why },
                        Verdict::NotYet { .. } => {}
                    }
                }
                Err(e) => {
                    let since = *silent_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > GATE_PATIENCE {
                        return gate_failed(&e);
                    }
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn thresholds(&self, step: usize) -> Option<Thresholds> {
        let placed = self.plan.steps().nth(step)?;
        let Step::Canary { dwell, max_error_rate, max_latency_ratio, minimum_requests, .. } =
            placed.step
        else {
            return None;
        };
        Some(Thresholds {
            dwell: *dwell,
            minimum_requests: *minimum_requests,
            max_error_rate: *max_error_rate,
            max_latency_ratio: *max_latency_ratio,
            max_p99: self.plan.objectives.latency_p99,
        })
    }

    fn show_verdict(
        &self,
        weight_permille: u16,
        thresholds: &Thresholds,
        source: &Sample,
        target: &Sample,
        watched: Duration,
    ) {
        let remaining = thresholds.dwell.saturating_sub(watched);
        self.board.show_canary(Some(CanaryStatus {
            weight_permille,
            remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
            target_requests: target.requests,
            target_errors: target.errors,
            source_p99_us: source.quantile_us(0.99),
            target_p99_us: target.quantile_us(0.99),
        }));
    }

    /// After a hold: how long did the client wait that waited longest?
    pub(super) async fn show_longest_wait(&self) {
        let Some(gates) = &self.gates else { return };
        match gates.metrics().await {
            Ok(metrics) => self.board.show_longest_wait(metrics.longest_park_us.div_ceil(1000)),
            Err(e) => tracing::warn!("the longest wait is not known: {}", chain(&e)),
        }
    }

    /// Shows what the gate says of itself, again and again, until it is dropped.
    pub(crate) async fn keep_gates_shown(gates: Option<Gates>, board: Arc<Board>) {
        let Some(gates) = gates else { return };
        loop {
            board.show_gates(shown(&gates).await);
            sleep(SHOW_EVERY).await;
        }
    }
}

/// A gate that does not answer is shown as such.
async fn shown(gates: &Gates) -> GatesStatus {
    let (Ok(status), Ok(metrics)) = (gates.status().await, gates.metrics().await) else {
        return GatesStatus::default();
    };
    GatesStatus {
        reachable: true,
        clients: status.clients,
        parked: status.parked,
        http_requests: metrics.http.values().map(|http| http.requests).sum(),
        http_errors: metrics.http.values().map(|http| http.errors).sum(),
    }
}

/// The source's and the target's figures, and which life of the gate they are from.
async fn look(gates: &Gates) -> Result<(u64, [Sample; 2]), GateError> {
    let status = gates.status().await?;
    let metrics = gates.metrics().await?;
    Ok((status.incarnation, [Side::Source, Side::Target].map(|side| sample(&metrics, side))))
}

fn sample(metrics: &GateMetrics, side: Side) -> Sample {
    metrics.http.get(&side).map_or_else(Sample::default, |http| Sample {
        requests: http.requests,
        errors: http.errors,
        latency_us: http.latency_us.clone(),
    })
}

fn gate_failed(error: &GateError) -> Input {
    Input::Failed {
        why: chain(error),
        next: "start `changeover gate` with the plan, then changeover apply".to_owned(),
    }
}
