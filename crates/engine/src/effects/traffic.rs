//! Weights, and the watch over a target that has requests.

mod outside;

use std::sync::Arc;
use std::time::Duration;

use changeover_routing::{Decisions, GateMetrics, Route};
use changeover_run::canary::{Judged, WatchRules, Watching, outside_seen, watch_rules};
use changeover_run::{Input, Next, State};
use changeover_types::{RouteName, Share, WallMs};
use tokio::time::{Instant, sleep};

use self::outside::Asking;
use super::Effects;
use crate::board::Board;
use crate::clock::now;
use crate::gates::{GateError, Gates};
use crate::preflight;
use crate::protocol::{CanaryStatus, EventKind, GatesStatus, OutsideStatus};
use crate::report::chain;

/// A gate that does not answer for this long stops the run.
const GATE_PATIENCE: Duration = Duration::from_secs(30);

/// An upstream that is being restarted is back within this.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(5);

/// How often the gate's figures are shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// How often the target is looked at. A look costs nothing: the verdict holds however often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often what was seen is written down, so that the seconds since then are still in the gate's
/// memory of ten minutes when this process dies.
const NOTE_EVERY: Duration = Duration::from_secs(120);

impl Effects {
    /// Orders the gates to send this share of the requests to the target.
    pub(super) async fn set_weight(
        &mut self,
        share: Share,
        of: Option<&RouteName>,
        state: &State,
    ) -> Input {
        let Some(gates) = &self.gates else { return Input::Done };
        if share.target_permille > 0
            && state.highest_permille() == 0
            && let Some(why) = self.refusing_target().await
        {
            return Input::Failed { why, next: Next::Apply };
        }
        let (mut target_permille, mut split) = (state.target_permille, state.split.clone());
        split.set(of, share, &mut target_permille);
        let cutover = &state.cutover;
        let route = Route {
            target_permille,
            authority: cutover.authority,
            authority_epoch: cutover.authority_epoch,
        };
        let begun = Instant::now();
        loop {
            match gates.weigh(cutover.highest, route, split.clone()).await {
                Ok(_) => return Input::Done,
                // Another plan's gate does not become this one's by waiting.
                Err(e @ GateError::OtherPlan(_)) => return gate_failed(&e),
                Err(e) if begun.elapsed() < GATE_PATIENCE => {
                    self.board.say(EventKind::Warning, format!("trying again: {}", chain(&e)));
                    sleep(Duration::from_secs(1)).await;
                }
                Err(e) => return gate_failed(&e),
            }
        }
    }

    /// The target's upstreams that cannot be connected to, unless somebody accepted that: before any
    /// request is sent there.
    pub(super) async fn refusing_target(&self) -> Option<String> {
        let begun = Instant::now();
        loop {
            let found = preflight::refusing_target(&self.plan).await?;
            if begun.elapsed() > UPSTREAM_PATIENCE {
                return Some(found);
            }
            self.board.say(EventKind::Warning, format!("trying again: {found}"));
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Watches the target until there is a judgement, or what was seen is to be written down.
    /// Missing figures are never success: they are waited for.
    pub(super) async fn watch(&mut self, step: usize, since: WallMs, state: &State) -> Input {
        let Some(rules) = watch_rules(&self.plan, step, state.canary_index) else {
            return Input::Failed {
                why: "the present step has nothing to watch".to_owned(),
                next: Next::Status,
            };
        };
        let Some(gates) = self.gates.clone() else {
            return Input::Failed {
                why: "the plan has no gate that could be watched".to_owned(),
                next: Next::Status,
            };
        };
        let routes = self.plan.routes_judged(step, state.canary_index);
        let begun = Instant::now();
        let mut watching = state.watching.clone();
        let mut silent_since: Option<Instant> = None;
        let plan = Arc::clone(&self.plan);
        let mut asking = Asking::of(&plan, step);
        loop {
            match look(&gates, (&rules, &routes), &mut watching).await {
                Ok(seen) => {
                    silent_since = None;
                    for (at, asked, pair) in asking.go_on(&rules, seen, since) {
                        // Written down at once: nobody else has kept it.
                        self.words.say(Input::OutsideAsked { at, asked, pair }).await;
                    }
                    let watched = now().since(since);
                    let judged = seen.judged(&rules, watched);
                    self.show_watch((&rules, &routes), seen, &judged, watched);
                    let is_first = state.watching.is_none();
                    let decided = !matches!(judged, Judged::NotYet { .. });
                    if is_first || decided || begun.elapsed() > NOTE_EVERY {
                        return Input::Watched { watching: seen.clone() };
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

    fn show_watch(
        &self,
        (rules, routes): (&WatchRules, &[RouteName]),
        seen: &Watching,
        judged: &Judged,
        watched: Duration,
    ) {
        let (permille, at_least) = match rules {
            WatchRules::Canary { rules, target_permille } => (*target_permille, rules.at_least),
            WatchRules::Switched { watch, .. } => (1000, *watch),
        };
        let left = at_least.saturating_sub(watched);
        let mut status = CanaryStatus {
            weight_permille: permille,
            routes: routes.to_vec(),
            remaining_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            ..CanaryStatus::default()
        };
        match seen {
            Watching::Canary(judge) => {
                let figures = judge.figures();
                (status.target_requests, status.target_errors) =
                    (figures.target_requests, figures.target_bad);
                status.target_late = figures.target_late;
                status.source_p99_us = figures.source_p99_us.map(|us| us as u64);
                status.target_p99_us = figures.target_p99_us.map(|us| us as u64);
                status.against = figures
                    .strongest
                    .map(|(stream, wealth)| format!("{wealth:.1} to 1 by {stream}"));
                if let WatchRules::Canary { rules, .. } = rules {
                    status.back_at = Some(rules.alarm_at());
                }
            }
            Watching::Switched(switched) => {
                (status.target_requests, status.target_errors) = switched.counts();
            }
        }
        let outside = outside_seen(rules, seen).into_iter();
        status.outside = outside
            .map(|it| OutsideStatus {
                name: it.name,
                seen: it.seen,
                against: it.against,
                back_at: it.back_at,
                silent: it.silent,
            })
            .collect();
        if let Judged::NotYet { waiting_for, left } = judged {
            status.left_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            status.waiting_for = Some(waiting_for.clone());
        }
        self.board.show_canary(Some(status));
    }

    /// After a hold: how long did the client wait that waited longest, of those that went on already?
    pub(super) async fn show_longest_wait(&self) {
        let Some(gates) = &self.gates else { return };
        match gates.metrics().await {
            Ok(metrics) => self.board.show_wait(longest_wait_ms(&metrics)),
            Err(e) => tracing::warn!("the longest wait is not known: {}", chain(&e)),
        }
    }

    /// Shows what the gate says of itself, again and again, until it is dropped.
    pub(crate) async fn keep_gates_shown(gates: Option<Gates>, board: Arc<Board>) {
        let Some(gates) = gates else { return };
        loop {
            let metrics = gates.metrics().await.ok();
            // Clients may wait on after the release, until they are moved.
            if let Some(metrics) = &metrics {
                board.show_wait(longest_wait_ms(metrics));
            }
            board.show_gates(shown(&gates, metrics).await);
            sleep(SHOW_EVERY).await;
        }
    }
}

fn longest_wait_ms(metrics: &GateMetrics) -> u64 {
    metrics.longest_park_us.div_ceil(1000)
}

/// A gate that does not answer is shown as such.
async fn shown(gates: &Gates, metrics: Option<GateMetrics>) -> GatesStatus {
    let (Ok(status), Some(metrics)) = (gates.status().await, metrics) else {
        return GatesStatus::default();
    };
    GatesStatus {
        reachable: true,
        clients: status.clients,
        parked: status.parked,
        http_requests: metrics.http.values().map(|http| http.requests).sum(),
        http_errors: metrics.http.values().map(|http| http.errors).sum(),
        routes: metrics.routes,
    }
}

/// Takes in all seconds that are over. What was decided before the first look only teaches.
async fn look<'a>(
    gates: &Gates,
    (rules, routes): (&WatchRules, &[RouteName]),
    watching: &'a mut Option<Watching>,
) -> Result<&'a mut Watching, GateError> {
    let Some(seen) = watching else {
        let mut past = Vec::new();
        let mut answer = gates.decided(0, routes).await?;
        loop {
            past.append(&mut answer.seconds);
            if answer.next >= answer.present {
                break;
            }
            answer = gates.decided(answer.next, routes).await?;
        }
        let begun = Watching::begin(rules, answer.incarnation, answer.next, &past);
        return Ok(watching.insert(begun));
    };
    loop {
        let Decisions { incarnation, next, present, seconds } = ask_on(gates, seen, routes).await?;
        seen.take(rules, incarnation, next, &seconds);
        if next >= present {
            return Ok(seen);
        }
    }
}

/// The next seconds. A gate that was restarted counts its own from zero again.
async fn ask_on(
    gates: &Gates,
    seen: &Watching,
    routes: &[RouteName],
) -> Result<Decisions, GateError> {
    let incarnation = gates.status().await?.incarnation;
    gates.decided(seen.next_second(incarnation), routes).await
}

fn gate_failed(error: &GateError) -> Input {
    Input::Failed { why: chain(error), next: Next::Gate }
}
