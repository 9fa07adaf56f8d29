//! What everybody may know of the run: its status, and what happened lately.

pub(crate) mod news;
mod objectives;
mod results;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use changeover_cutover as cutover;
use changeover_plan::{HttpGate, Plan, StepKind};
use changeover_postgres::type_numbers::Comparison;
use changeover_run::{Event as RunEvent, Next, Standing, State};
use changeover_types::{RouteName, Side, WallMs};

use objectives::Yardstick;

use crate::clock::now;
use crate::protocol::{
    CanaryStatus, CheckStatus, CopyStatus, CutoverStatus, EventKind, GatesStatus, RelayStatus,
    RouteStatus, RunState, RunStatus, VerifyStatus,
};
use crate::serve::{Lately, Watched};

/// The board. Everybody may read it; the loop and the effects write.
#[derive(Debug)]
pub(crate) struct Board {
    inner: Mutex<Inner>,
    paths: Vec<String>,
    kinds: Vec<StepKind>,
    phases: Vec<String>,
    /// The plan's routes, the rest last; none without routes.
    routes: Vec<RouteName>,
}

#[derive(Debug)]
struct Inner {
    status: RunStatus,
    lately: Lately,
    held_at: Option<WallMs>,
    /// By when the canary is to be through, and whether it was not.
    limit: (Option<WallMs>, bool),
    yardstick: Yardstick,
}

impl Board {
    pub(crate) fn new(plan: &Plan, run_id: &str) -> Arc<Board> {
        let paths: Vec<String> = plan.steps().map(|placed| placed.path).collect();
        let kinds: Vec<StepKind> = plan.steps().map(|placed| placed.step.kind()).collect();
        let phases = plan.steps().map(|placed| plan.phases[placed.phase].name.clone()).collect();
        let status = RunStatus {
            name: plan.name.to_string(),
            run_id: run_id.to_owned(),
            plan_digest: plan.digest.clone(),
            pid: std::process::id(),
            last_event: 0,
            state: RunState::Running,
            phase: plan.phases.first().map(|phase| phase.name.clone()),
            step: paths.first().cloned(),
            step_kind: kinds.first().copied(),
            steps_done: 0,
            steps: paths.len(),
            authority: Side::Source,
            epoch: changeover_types::Epoch(1),
            target_permille: 0,
            routes: Vec::new(),
            copy: None,
            forward: None,
            reverse: None,
            verify: None,
            check: None,
            canary: None,
            cutover: None,
            type_numbers: None,
            gates: None,
            changed: Vec::new(),
            control: results::first(plan),
        };
        let yardstick = Yardstick::new(plan);
        let (lately, limit) = (Lately::new(), (None, false));
        let inner = Inner { status, lately, held_at: None, limit, yardstick };
        let gate = plan.gates.http.as_ref().filter(|gate| !gate.routes.is_empty());
        let routes = gate.map(HttpGate::route_names).unwrap_or_default();
        Arc::new(Board { inner: Mutex::new(inner), paths, kinds, phases, routes })
    }

    /// The status as it is.
    pub(crate) fn status(&self) -> RunStatus {
        let inner = self.lock();
        let mut status = inner.status.clone();
        status.control.objectives = inner.yardstick.measure(&status);
        status
    }

    /// The events after `number` that are still known, and all that come.
    pub(crate) fn watch(&self, after: Option<u64>) -> Watched {
        self.lock().lately.watch(after)
    }

    /// Takes what was journalled in earlier lives: it was told then, and only its figures count.
    pub(crate) fn recall(&self, news: &[(WallMs, RunEvent)], state: &State) {
        for (at, event) in news {
            self.note(*at, event);
            self.follow_step(event);
        }
        self.show(state);
    }

    /// Takes what was journalled, tells it, and shows the state that it made.
    pub(crate) fn tell(&self, news: &[(WallMs, RunEvent)], state: &State) {
        for (at, event) in news {
            let again = self.called_off_again(event);
            self.note(*at, event);
            if let Some((kind, text, data)) = news::told(event) {
                self.say_at(*at, kind, again.unwrap_or(text), data);
            }
            self.follow_step(event);
        }
        self.show(state);
    }

    /// In few words, if an attempt was called off for the reason that the last one was, give or take
    /// a number.
    fn called_off_again(&self, event: &RunEvent) -> Option<String> {
        let RunEvent::Cutover { event: cutover::Event::CalledOff { why } } = event else {
            return None;
        };
        let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        let inner = self.lock();
        let told = inner.status.cutover.as_ref()?;
        let last = told.last_called_off.as_deref()?;
        (words(last) == words(why)).then(|| {
            format!(
                "attempt {} is called off for the same reason; nothing has changed",
                told.attempts
            )
        })
    }

    fn follow_step(&self, event: &RunEvent) {
        match event {
            RunEvent::StepDone => self.show_step(|at| at + 1),
            RunEvent::TriedAgain { from, .. } => {
                let from = *from;
                self.show_step(|_| from);
            }
            _ => {}
        }
    }

    /// Tells something that is not in the journal. What was just told is not told again.
    pub(crate) fn say(&self, kind: EventKind, text: impl Into<String>) {
        let text = text.into();
        let told = self.lock().lately.last() == Some(text.as_str());
        if !told {
            self.say_at(now(), kind, text, serde_json::Value::Null);
        }
    }

    fn say_at(&self, at: WallMs, kind: EventKind, text: String, data: serde_json::Value) {
        let mut inner = self.lock();
        let step = inner.status.step.clone();
        inner.status.last_event = inner.lately.tell(at, step, (kind, text, data));
    }

    /// Figures that only the journal's events carry.
    fn note(&self, at: WallMs, event: &RunEvent) {
        let mut inner = self.lock();
        let Inner { status, held_at, .. } = &mut *inner;
        let present = (status.step.as_deref(), status.step_kind);
        results::note(&mut status.control.results, present, at, event);
        let cutover = |status: &mut RunStatus| {
            status.cutover.get_or_insert_with(CutoverStatus::default).clone()
        };
        match event {
            RunEvent::Copied { rows, bytes, took_ms, .. } => {
                let copy = status.copy.get_or_insert_with(CopyStatus::default);
                (copy.rows, copy.bytes, copy.took_ms) = (*rows, *bytes, Some(*took_ms));
                copy.tables_done = copy.tables;
                copy.eta_s = None;
                copy.stage = "indexes".to_owned();
            }
            RunEvent::Built { .. } => {
                if let Some(copy) = &mut status.copy {
                    copy.stage = "done".to_owned();
                }
            }
            RunEvent::Verified { rows, different } => {
                let verify = status.verify.get_or_insert_with(VerifyStatus::default);
                (verify.rows_compared, verify.rows_different) = (*rows, *different);
                verify.complete = true;
            }
            // Another change of authority, counted for itself.
            RunEvent::RollbackBegun { .. }
            | RunEvent::RollbackGivenUp { .. }
            | RunEvent::TriedAgain { .. } => {
                status.cutover.take();
            }
            RunEvent::PlanChanged { what, .. } => {
                status.control.plan_changes.extend(what.iter().cloned());
            }
            RunEvent::Cutover { event } => {
                let mut told = cutover(status);
                match event {
                    cutover::Event::AttemptBegun { .. } => told.attempts += 1,
                    cutover::Event::Rehearsed { at } => *held_at = Some(*at),
                    cutover::Event::CalledOff { why } | cutover::Event::GoingBack { why } => {
                        told.last_called_off = Some(why.clone());
                    }
                    cutover::Event::Granted => told.last_called_off = None,
                    cutover::Event::Sealed { .. } => {
                        let pause = held_at.map(|held| at.0.saturating_sub(held.0));
                        told.write_pause_ms_max = told.write_pause_ms_max.max(pause);
                    }
                    _ => {}
                }
                status.cutover = Some(told);
            }
            _ => {}
        }
    }

    fn show(&self, state: &State) {
        let mut inner = self.lock();
        inner.yardstick.note(state);
        inner.limit = (state.canary_until, state.canary_late);
        let Inner { status, limit, .. } = &mut *inner;
        if let Some(canary) = &mut status.canary {
            (canary.until, canary.late) = *limit;
        }
        status.state = RunState::from(state);
        self.place(status, state.at);
        if let Some(cutover) = &mut status.cutover {
            cutover.proof = state.proof.map(|proof| proof.stage);
        }
        status.authority = state.cutover.authority;
        status.epoch = state.cutover.highest;
        status.target_permille = state.target_permille;
        status.routes = self.routes.iter().map(|name| route_status(name, state)).collect();
        results::show(&mut status.control, state);
    }

    /// Shows that the daemon does nothing, and why.
    pub(crate) fn show_failed(&self, reason: &str) {
        let next_command = Next::Status;
        self.lock().status.state = RunState::Failed { reason: reason.to_owned(), next_command };
    }

    /// Shows what is not as it was at the copy, and tells what was not known yet.
    pub(crate) fn show_changes(&self, changed: Vec<String>) {
        let known = std::mem::replace(&mut self.lock().status.changed, changed.clone());
        let new: Vec<&str> =
            changed.iter().filter(|it| !known.contains(it)).map(String::as_str).collect();
        if !new.is_empty() {
            let text = format!("changed since the copy, which stops a cutover: {}", new.join("; "));
            self.say(EventKind::Warning, text);
        }
    }

    /// Shows what a guard's last look saw.
    pub(crate) fn show_guard(&self, name: &str, seen: String) {
        let mut inner = self.lock();
        let guards = &mut inner.status.control.guards;
        if let Some(guard) = guards.iter_mut().find(|guard| guard.name == name) {
            guard.is = guard.is.or(Some(Standing::Good));
            guard.seen = seen;
        }
    }

    fn show_step(&self, at: impl FnOnce(usize) -> usize) {
        let mut inner = self.lock();
        let at = at(inner.status.steps_done);
        self.place(&mut inner.status, at);
    }

    fn place(&self, status: &mut RunStatus, at: usize) {
        status.step = self.paths.get(at).cloned();
        status.step_kind = self.kinds.get(at).copied();
        status.phase = self.phases.get(at).cloned();
        status.steps_done = at;
    }

    /// Shows how the copy goes.
    pub(crate) fn show_copy(&self, copy: CopyStatus) {
        self.lock().status.copy = Some(copy);
    }

    /// Shows how the numbers of types compare.
    pub(crate) fn show_type_numbers(&self, found: Comparison) {
        self.lock().status.type_numbers = Some(found);
    }

    /// Shows how the relay into `into` goes.
    pub(crate) fn show_relay(&self, into: Side, relay: Option<RelayStatus>) {
        let mut inner = self.lock();
        match into {
            Side::Target => inner.status.forward = relay,
            Side::Source => inner.status.reverse = relay,
        }
    }

    /// Shows how a comparison goes.
    pub(crate) fn show_verify(&self, verify: VerifyStatus) {
        self.lock().status.verify = Some(verify);
    }

    /// Shows how a check goes; nothing when none is carried out.
    pub(crate) fn show_check(&self, check: Option<CheckStatus>) {
        self.lock().status.check = check;
    }

    /// Shows what the canary's judge sees.
    pub(crate) fn show_canary(&self, canary: Option<CanaryStatus>) {
        let mut inner = self.lock();
        let (until, late) = inner.limit;
        inner.status.canary = canary.map(|canary| CanaryStatus { until, late, ..canary });
    }

    /// Shows how long the client waited that waited longest, since the gate's last hold began.
    pub(crate) fn show_wait(&self, longest_ms: u64) {
        if let Some(cutover) = self.lock().status.cutover.as_mut() {
            cutover.longest_wait_ms = cutover.longest_wait_ms.max(Some(longest_ms));
        }
    }

    /// Shows whose sessions could not move now.
    pub(crate) fn show_unmovable(&self, names: Vec<String>) {
        self.lock().status.control.unmovable = names;
    }

    /// Shows what the gate says of itself.
    pub(crate) fn show_gates(&self, gates: GatesStatus) {
        self.lock().status.gates = Some(gates);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn route_status(name: &RouteName, state: &State) -> RouteStatus {
    let target_permille = state.share_of(Some(name)).target_permille;
    RouteStatus { name: name.clone(), target_permille }
}
