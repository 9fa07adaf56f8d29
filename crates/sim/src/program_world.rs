//! A world of several migrations, each with a daemon of its own, and the daemon of the program that
//! orders them. The components step, fail and go back when they like; what they are is only known
//! to the program when it looks; the program dies between any two records of its journal.

mod real;

use changeover_plan::{Program, Unloaded, parse, parse_program};
use changeover_run::program::{Command, Event, Input, Order, State, apply, decide, due, wake};
use changeover_run::{Mode, Next, Pause, Who};
use changeover_types::WallMs;

pub use real::{Real, RealIs};

/// Everything that exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The program's machine.
    pub machine: State,
    /// What the components really are.
    pub real: Vec<Real>,
    /// Answers on their way to the program: to which order, and whether it was taken. They are lost
    /// when its daemon dies.
    pub answers: Vec<(usize, Order, bool)>,
    /// How many failures may come yet.
    pub failures: u8,
    /// How many deaths of the program's daemon may come yet.
    pub crashes: u8,
    /// How many words of the operator may come yet.
    pub words: u8,
    /// How often the program went back by itself.
    pub went_back: u8,
    /// An order to go forward was journalled after a stop.
    pub begun_after_stop: bool,
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An order reaches its component.
    Give(usize),
    /// An order cannot be given.
    Refuse(usize),
    /// The answer to an order reaches the program, which writes so many of the records that follow
    /// before it dies; all of them for `None`.
    Answer(usize, Option<usize>),
    /// The program sees where a component is; as with [`Action::Answer`].
    Look(usize, Option<usize>),
    /// The program's daemon dies.
    Die,
    /// A component does its next step, or the next thing on its way back or out.
    Step(usize),
    /// A component pauses.
    Fail(usize),
    /// A component goes back by itself.
    GoBack(usize),
    /// The operator says something.
    Say(Word),
    /// Somebody approves what waits for it.
    Approve,
    /// The time comes that the program waits for.
    Time,
}

/// What the operator may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// `apply`.
    GoOn,
    /// `pause`.
    Pause,
    /// `rollback`.
    RollBack,
    /// `abort`.
    Abort,
    /// `finish`.
    Finish,
}

const WORDS: [Word; 5] = [Word::GoOn, Word::Pause, Word::RollBack, Word::Abort, Word::Finish];

impl World {
    /// Before anything, with so much that may go wrong.
    #[must_use]
    pub fn new(program: &Program, failures: u8, crashes: u8, words: u8) -> World {
        let real = program.components.iter().map(Real::new).collect();
        let machine = State::new(program);
        let mut world = World {
            machine,
            real,
            answers: Vec::new(),
            failures,
            crashes,
            words,
            went_back: 0,
            begun_after_stop: false,
        };
        world.feed(program, &Input::Restarted, None);
        world
    }

    /// All that may happen next.
    #[must_use]
    pub fn actions(&self, program: &Program) -> Vec<Action> {
        let mut actions = Vec::new();
        let dies = self.crashes > 0;
        for command in due(&self.machine) {
            let component = command.component();
            let cuts = |count: usize| (0..count).map(Some).filter(|_| dies);
            match &command {
                // The shell gives an order to its end before it does anything else there.
                _ if self.answers.iter().any(|(it, _, _)| *it == component) => {}
                Command::Tell { .. } => {
                    actions.push(Action::Give(component));
                    actions.extend((self.failures > 0).then_some(Action::Refuse(component)));
                }
                Command::Follow { .. } => {
                    let seen = self.real[component].seen();
                    let count = self.count(program, &Input::Seen { component, seen });
                    if count > 0 {
                        actions.push(Action::Look(component, None));
                        actions.extend(cuts(count).map(|cut| Action::Look(component, cut)));
                    }
                }
            }
        }
        for (index, answer) in self.answers.iter().enumerate() {
            let count = self.count(program, &input_of(answer));
            actions.push(Action::Answer(index, None));
            let cuts = (0..count).map(Some).filter(|_| dies);
            actions.extend(cuts.map(|cut| Action::Answer(index, cut)));
        }
        actions.extend((dies && !self.answers.is_empty()).then_some(Action::Die));
        for (component, real) in self.real.iter().enumerate() {
            actions.extend(real.has_next().then_some(Action::Step(component)));
            if self.failures > 0 {
                actions.extend(real.may_fail().then_some(Action::Fail(component)));
                actions.extend(real.may_go_back().then_some(Action::GoBack(component)));
            }
        }
        let asked = self.machine.control.approval.as_ref();
        actions.extend(asked.filter(|it| !it.is_complete()).map(|_| Action::Approve));
        actions.extend(wake(&self.machine, program).map(|_| Action::Time));
        if self.words > 0 {
            actions.extend(WORDS.map(Action::Say));
        }
        actions
    }

    fn count(&self, program: &Program, input: &Input) -> usize {
        let now = self.now(program, input);
        decide(&self.machine, program, input, now).map_or(0, |events| events.len())
    }

    /// The clock stands still, but a deadline comes when it is over.
    fn now(&self, program: &Program, input: &Input) -> WallMs {
        match input {
            Input::Deadline => wake(&self.machine, program).unwrap_or_default(),
            _ => WallMs(0),
        }
    }

    /// The world after an action.
    #[must_use]
    pub fn step(&self, program: &Program, action: &Action) -> World {
        let mut next = self.clone();
        match action {
            Action::Give(component) => {
                if let Some(order) = self.order_due(*component) {
                    let taken = next.real[*component].hears(&order);
                    next.answers.push((*component, order, taken));
                }
            }
            Action::Refuse(component) => {
                next.failures -= 1;
                if let Some(order) = self.order_due(*component) {
                    next.answers.push((*component, order, false));
                }
            }
            Action::Answer(index, cut) => {
                let answer = next.answers.remove(*index);
                next.feed(program, &input_of(&answer), *cut);
            }
            Action::Die => {
                next.crashes -= 1;
                next.answers.clear();
                next.feed(program, &Input::Restarted, None);
            }
            Action::Look(component, cut) => {
                let seen = self.real[*component].seen();
                next.feed(program, &Input::Seen { component: *component, seen }, *cut);
            }
            Action::Step(component) => next.real[*component].step(),
            Action::Fail(component) => {
                next.failures -= 1;
                next.real[*component].fail();
            }
            Action::GoBack(component) => {
                next.failures -= 1;
                next.real[*component].go_back();
            }
            Action::Say(word) => {
                next.words -= 1;
                next.feed(program, &said(*word), None);
            }
            Action::Approve => {
                if let Some(asked) = &self.machine.control.approval {
                    let (who, facts) = (asked.from[0].clone(), asked.facts.clone());
                    let who = Who { user: "root".to_owned(), name: Some(who) };
                    next.feed(program, &Input::Approve { who, facts }, None);
                }
            }
            Action::Time => next.feed(program, &Input::Deadline, None),
        }
        next
    }

    /// The world after the program has heard something.
    #[must_use]
    pub fn after(&self, program: &Program, input: &Input) -> World {
        let mut next = self.clone();
        next.feed(program, input, None);
        next
    }

    fn order_due(&self, component: usize) -> Option<Order> {
        due(&self.machine).into_iter().find_map(|command| match command {
            Command::Tell { component: it, order, .. } if it == component => Some(order),
            _ => None,
        })
    }

    /// The machine hears the input; the process dies after `cut` records.
    fn feed(&mut self, program: &Program, input: &Input, cut: Option<usize>) {
        let now = self.now(program, input);
        let events = decide(&self.machine, program, input, now).unwrap_or_default();
        for event in &events[..cut.unwrap_or(events.len()).min(events.len())] {
            self.watch(event);
            apply(&mut self.machine, event);
        }
        if cut.is_some() {
            self.crashes -= 1;
            self.answers.clear();
            self.feed(program, &Input::Restarted, None);
        }
    }

    fn watch(&mut self, event: &Event) {
        match event {
            Event::RollbackBegun { by_itself: true, .. } => self.went_back += 1,
            Event::Ordered { order: Order::Advance { .. }, .. } => {
                let stopped = self.machine.pause.is_some()
                    || !matches!(self.machine.mode, Mode::Forward | Mode::Done);
                self.begun_after_stop |= stopped;
            }
            _ => {}
        }
    }

    /// Nobody has anything on the target whose needs are not there.
    #[must_use]
    pub fn needs_come_first(&self, program: &Program) -> bool {
        program.components.iter().zip(&self.real).all(|(component, real)| {
            !real.moved || component.needs.iter().all(|need| self.real[*need].moved)
        })
    }

    /// Nothing new is ordered, or said, after a stop.
    #[must_use]
    pub fn nothing_begins_after_a_stop(&self) -> bool {
        let stopped = self.machine.pause.is_some()
            || !matches!(self.machine.mode, Mode::Forward | Mode::Done);
        let says = due(&self.machine)
            .iter()
            .any(|it| matches!(it, Command::Tell { order: Order::Advance { .. }, .. }));
        !(self.begun_after_stop || (stopped && says))
    }

    /// No step has begun whose phase waits for its people.
    #[must_use]
    pub fn phases_open_by_their_people(&self, program: &Program) -> bool {
        let Some(placed) = program.steps().nth(self.machine.at) else { return true };
        let asks = program.phases[placed.phase_index].entrance.approve.is_some();
        !(asks && self.machine.begun) || self.machine.control.opened == Some(placed.phase_index)
    }

    /// No more go side by side than the present step allows.
    #[must_use]
    pub fn side_by_side_within_bounds(&self, program: &Program) -> bool {
        let Some(placed) = program.steps().nth(self.machine.at) else { return true };
        let goes = |real: &&Real| real.is == RealIs::Forward && real.steps < real.bound;
        self.machine.mode != Mode::Forward
            || self.real.iter().filter(goes).count() <= placed.step.at_once
    }

    /// Faults and words have ended and everything works: where the program rests.
    #[must_use]
    pub fn healed(&self, program: &Program) -> Option<World> {
        let mut world = self.clone();
        (world.failures, world.crashes, world.words) = (0, 0, 0);
        for _ in 0..400 {
            match world.actions(program).first() {
                Some(action) => world = world.step(program, &action.clone()),
                None => return Some(world),
            }
        }
        None
    }

    /// It rests where it may: done, back, removed, ended, or paused with a reason and a next
    /// command; and from a pause the operator's `apply` or `rollback` leads on.
    #[must_use]
    pub fn converges(&self, program: &Program) -> bool {
        let Some(rested) = self.healed(program) else { return false };
        if rested.machine.pause.is_none() {
            return rested.rests_well();
        }
        let says_why = |pause: &Pause| !pause.why.is_empty();
        rested.machine.pause.as_ref().is_some_and(says_why) && rested.goes_on(program)
    }

    fn rests_well(&self) -> bool {
        let mut real = self.real.iter();
        match self.machine.mode {
            Mode::Done | Mode::Finished => real.all(|it| it.moved && it.steps == it.all_steps),
            Mode::RolledBack { .. } | Mode::Aborted => real.all(|it| !it.moved),
            _ => false,
        }
    }

    /// `apply` ends somewhere, and so does `rollback` where it is possible at all.
    fn goes_on(&self, program: &Program) -> bool {
        let after = |word: Word| {
            let mut world = self.clone();
            world.feed(program, &said(word), None);
            world.healed(program)
        };
        let on = after(Word::GoOn);
        let finished = self.real.iter().any(|it| it.is == RealIs::Finished);
        let back = after(Word::RollBack);
        let is_back = back.is_some_and(|it| it.rests_well() && it.machine.pause.is_none());
        let ways_out = matches!(self.machine.mode, Mode::Forward | Mode::Done);
        on.is_some() && (is_back || finished || !ways_out)
    }
}

fn input_of((component, order, taken): &(usize, Order, bool)) -> Input {
    let (component, order) = (*component, order.clone());
    if *taken {
        return Input::Told { component, order };
    }
    let why = "refused".to_owned();
    Input::Unreachable { component, order: Some(order), why, next: Next::Apply }
}

fn said(word: Word) -> Input {
    let why = || "asked".to_owned();
    match word {
        Word::GoOn => Input::GoOn,
        Word::Pause => Input::Pause { why: why() },
        Word::RollBack => Input::RollBack { why: why() },
        Word::Abort => Input::Abort,
        Word::Finish => Input::Finish,
    }
}

/// A program over small plans: each name with whether it has data, and what it needs.
///
/// # Panics
/// If it is not sound.
#[must_use]
pub fn program(components: &[(&str, bool, &str)], rest: &str) -> Program {
    let mut text =
        "apiVersion: changeover/v1\nkind: Program\nmetadata: {name: move}\ncomponents:\n"
            .to_owned();
    for (name, _, needs) in components {
        text += &format!("  {name}: {{plan: {name}, needs: [{needs}]}}\n");
    }
    let mut load = |file: &std::path::Path| {
        let name = file.display().to_string();
        let data = components.iter().any(|(it, data, _)| *it == name && *data);
        parse(&name, &plan(&name, data)).map_err(Unloaded::Faulty)
    };
    parse_program("program", &(text + rest), &mut load).unwrap_or_else(|faults| panic!("{faults}"))
}

fn plan(name: &str, data: bool) -> String {
    let head = format!("apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: {name}}}\n");
    if data {
        return head
            + &format!(
                "source: {{postgres: {{url: {{env: OLD_{name}}}}}}}\n\
                 target: {{postgres: {{url: {{env: NEW_{name}}}}}}}\n\
                 phases: [{{name: copy, steps: [replicate]}}, {{name: cutover, steps: [cutover]}}]\n"
            );
    }
    head + &format!(
        "source: {{http: {{upstreams: [\"http://a-{name}:1\"]}}}}\n\
         target: {{http: {{upstreams: [\"http://b-{name}:1\"]}}}}\n\
         gates: {{http: {{listen: \"127.0.0.1:{}\"}}}}\n\
         phases: [{{name: all, steps: [shift: {{to: 100%}}]}}]\n",
        8000 + name.len()
    )
}
