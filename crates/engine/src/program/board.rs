//! What everybody may know of a program: its status, and what happened lately.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use changeover_run::Mode;
use changeover_run::program::{Event as ProgramEvent, Is, Order, State};
use changeover_types::{Side, WallMs};
use serde_json::Value;

use super::{ProgramFiles, news};
use crate::clock::now;
use crate::protocol::{
    ComponentStatus, Event, EventKind, ProgramStatus, RunState, RunStatus, approval_asked,
    program_waits, waits_for,
};
use crate::serve::{Lately, Watched};

/// The board. Everybody may read it; the loop and the workers write.
#[derive(Debug)]
pub(super) struct Board {
    inner: Mutex<Inner>,
    paths: Vec<String>,
    phases: Vec<String>,
}

#[derive(Debug)]
struct Inner {
    status: ProgramStatus,
    /// As far as the program itself knows.
    state: RunState,
    lately: Lately,
}

impl Inner {
    /// A program that goes on may wait for what its components wait for; one that is done has their
    /// alarms.
    fn look(&mut self) {
        let components = &self.status.components;
        self.status.state = match &self.state {
            RunState::Running => program_waits(components).unwrap_or(RunState::Running),
            RunState::Done { .. } => RunState::Done { alarms: alarms(components) },
            state => state.clone(),
        };
    }
}

impl Board {
    pub(super) fn new(files: &ProgramFiles, run_id: &str) -> Arc<Board> {
        let program = &files.program;
        let paths: Vec<String> = program.steps().map(|placed| placed.path).collect();
        let phases = program.steps().map(|placed| placed.phase.to_owned()).collect();
        let component = |it: &changeover_plan::Component| ComponentStatus {
            name: it.name.clone(),
            migration: it.plan.name.to_string(),
            state: None,
            order: None,
            step: None,
            steps_done: 0,
            steps: it.steps(),
            authority: Side::Source,
            target_permille: 0,
            lag_bytes: None,
            unreachable: None,
            approval: None,
        };
        let status = ProgramStatus {
            name: program.name.to_string(),
            run_id: run_id.to_owned(),
            digest: program.digest.clone(),
            pid: std::process::id(),
            last_event: 0,
            state: RunState::Running,
            phase: None,
            step: None,
            steps_done: 0,
            steps: paths.len(),
            approval: None,
            components: program.components.iter().map(component).collect(),
        };
        let inner = Inner { state: status.state.clone(), status, lately: Lately::new() };
        Arc::new(Board { inner: Mutex::new(inner), paths, phases })
    }

    /// The status as it is.
    pub(super) fn status(&self) -> ProgramStatus {
        self.lock().status.clone()
    }

    /// The events after `number` that are still known, and all that come.
    pub(super) fn watch(&self, after: Option<u64>) -> Watched {
        self.lock().lately.watch(after)
    }

    /// Tells what was journalled, and shows the state that it made.
    pub(super) fn tell(&self, events: &[(WallMs, ProgramEvent)], state: &State) {
        for (at, event) in events {
            if let Some((kind, text, data)) = news::told(event) {
                self.say_at(*at, kind, text, data);
            }
            if matches!(event, ProgramEvent::StepDone) {
                let mut inner = self.lock();
                let done = inner.status.steps_done + 1;
                self.place(&mut inner.status, done);
            }
        }
        self.show(state);
    }

    /// Tells what a component's daemon told.
    pub(super) fn repeat(&self, component: usize, event: &Event) {
        let Some(name) = self.name(component) else { return };
        let step = event.step.as_deref().map(|step| format!(" {step}")).unwrap_or_default();
        self.say_at(
            event.at,
            event.kind,
            format!("[{name}]{step} {}", event.text),
            event.data.clone(),
        );
    }

    /// Shows the state as far as the journal has it.
    pub(super) fn show(&self, state: &State) {
        let mut inner = self.lock();
        inner.state = run_state(state);
        let status = &mut inner.status;
        status.approval = approval_asked(&state.control).filter(|_| state.mode == Mode::Forward);
        self.place(status, state.at);
        for (shown, component) in status.components.iter_mut().zip(&state.components) {
            shown.order = component.order.as_ref().map(order_words);
            shown.authority = component.seen.authority;
            shown.target_permille = component.seen.target_permille;
            shown.steps_done = component.seen.steps_done;
            shown.unreachable = match &component.seen.is {
                Is::Unreachable { why, .. } => Some(why.clone()),
                _ => None,
            };
            if let Some(over) = over(&component.seen.is) {
                (shown.state, shown.step, shown.lag_bytes) = (Some(over), None, None);
                shown.approval = None;
            }
        }
        inner.look();
    }

    /// Shows what a component's daemon says of it.
    pub(super) fn show_component(&self, component: usize, status: &RunStatus) {
        let mut inner = self.lock();
        let Some(shown) = inner.status.components.get_mut(component) else { return };
        shown.state = Some(status.state.clone());
        shown.step.clone_from(&status.step);
        shown.steps_done = status.steps_done;
        shown.authority = status.authority;
        shown.target_permille = status.highest_permille();
        let relay = match status.authority {
            Side::Source => &status.forward,
            Side::Target => &status.reverse,
        };
        shown.lag_bytes = relay.as_ref().map(|relay| relay.lag_bytes);
        shown.approval.clone_from(&status.control.approval);
        inner.look();
    }

    fn name(&self, component: usize) -> Option<String> {
        self.lock().status.components.get(component).map(|it| it.name.clone())
    }

    fn place(&self, status: &mut ProgramStatus, at: usize) {
        status.step = self.paths.get(at).cloned();
        status.phase = self.phases.get(at).cloned();
        status.steps_done = at;
    }

    fn say_at(&self, at: WallMs, kind: EventKind, text: String, data: Value) {
        let mut inner = self.lock();
        let step = inner.status.step.clone();
        inner.status.last_event = inner.lately.tell(at, step, (kind, text, data));
    }

    /// Tells that a component's daemon went away.
    pub(super) fn gone(&self, component: usize) {
        let Some(name) = self.name(component) else { return };
        self.say_at(now(), EventKind::Warning, format!("[{name}] its daemon is gone"), Value::Null);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is bad in components that are done, each with its component's name.
fn alarms(components: &[ComponentStatus]) -> Vec<String> {
    let of = |it: &ComponentStatus| match &it.state {
        Some(RunState::Done { alarms }) => {
            alarms.iter().map(|alarm| format!("[{}] {alarm}", it.name)).collect()
        }
        _ => Vec::new(),
    };
    components.iter().flat_map(of).collect()
}

fn over(is: &Is) -> Option<RunState> {
    match is {
        Is::Aborted => Some(RunState::Aborted),
        Is::Finished => Some(RunState::Finished),
        _ => None,
    }
}

/// A component's order in words.
pub(super) fn order_words(order: &Order) -> String {
    match order {
        Order::Advance { steps, moves: false } => format!("prepare to step {steps}"),
        Order::Advance { steps, moves: true } => format!("move to step {steps}"),
        Order::Halt => "rest".to_owned(),
        Order::RollBack { .. } => "go back".to_owned(),
        Order::Abort => "be removed".to_owned(),
        Order::Finish => "finish".to_owned(),
    }
}

/// A program's state in the words of a run's.
pub(super) fn run_state(state: &State) -> RunState {
    if let Some(pause) = &state.pause {
        return RunState::Paused { reason: pause.why.clone(), next_command: pause.next };
    }
    if let Some(bound) = state.rests() {
        return RunState::Resting { phase: bound.phase.clone() };
    }
    match &state.mode {
        Mode::Forward => waits_for(&state.control).unwrap_or(RunState::Running),
        Mode::Done => RunState::Done { alarms: Vec::new() },
        Mode::RollingBack { why } => RunState::RollingBack { why: why.clone() },
        Mode::RolledBack { why } => RunState::RolledBack { why: why.clone() },
        Mode::Aborting => RunState::Aborting,
        Mode::Aborted => RunState::Aborted,
        Mode::Finishing => RunState::Finishing,
        Mode::Finished => RunState::Finished,
    }
}
