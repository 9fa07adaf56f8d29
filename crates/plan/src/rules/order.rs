//! Whether the steps make sense in this order.

use changeover_types::{RouteName, Share, Side, Split};

use crate::fault::FaultKind;
use crate::model::checks::{OnFail, Traffic};
use crate::model::{Against, HttpGate, Step};
use crate::read::{Draft, PhaseDraft, StepDraft};
use crate::reader::{Reader, one_of};
use crate::units::show_permille;

/// What earlier steps have brought about.
struct Walk<'a> {
    draft: &'a Draft,
    reader: &'a mut Reader,
    replicated: bool,
    cut_over: bool,
    /// The cutover has led all requests to the target: no PostgreSQL gate is there to do without.
    led: bool,
    finished: bool,
    /// The share of all that no step of its own has moved, and how the others differ.
    target_permille: u16,
    split: Split,
    /// All routes, the rest last.
    names: Vec<RouteName>,
}

pub(super) fn check(draft: &Draft, phases: &[PhaseDraft], reader: &mut Reader) {
    let mut walk = Walk {
        draft,
        reader,
        replicated: false,
        cut_over: false,
        led: false,
        finished: false,
        target_permille: 0,
        split: Split::default(),
        names: draft.gates.value.http.as_ref().map(HttpGate::route_names).unwrap_or_default(),
    };
    for step in phases.iter().flat_map(|phase| &phase.steps) {
        walk.step(step);
    }
}

impl Walk<'_> {
    fn fault(&mut self, at: &StepDraft, found: &str, expected: &str) {
        self.reader.fault(FaultKind::Contradiction, at.place, &at.path, found, expected);
    }

    fn step(&mut self, at: &StepDraft) {
        if self.finished {
            let found = format!("`{}` after `finish`", at.step.name());
            self.fault(at, &found, "`finish` as the last step");
        }
        if self.cut_over && at.step.on_fail() == Some(OnFail::Abort) {
            let expected = "`on_fail: rollback` or `pause`: there is no abort once authority moved";
            self.fault(at, "`on_fail: abort` after `cutover`", expected);
        }
        match &at.step {
            Step::Replicate => self.replicate(at),
            Step::Verify => {
                self.needs_postgres(at);
                if !self.replicated {
                    self.fault(at, "`verify` before `replicate`", "`replicate` before it");
                }
            }
            Step::Smoke(smoke) => {
                self.asks_http(at, smoke.requests.iter().map(|request| request.against));
                self.smoke_sql(at, smoke.sql.iter().map(|query| query.against));
            }
            Step::Load(load) => {
                let asks = !matches!(load.traffic, Traffic::Exec(_));
                self.asks_http(at, asks.then_some(load.against).into_iter());
            }
            Step::Mirror(_) => self.needs_http(at),
            Step::BlueGreen(switch) => {
                self.needs_http(at);
                self.weights(at, switch.route.as_ref(), &[1000]);
            }
            Step::Phased(phased) => {
                self.needs_http(at);
                for route in &phased.routes {
                    self.weights(at, Some(route), &[1000]);
                }
            }
            Step::Canary(canary) => {
                self.needs_http(at);
                if self.cut_over {
                    let expected = "`canary` before `cutover`, while the way back is a weight";
                    self.fault(at, "`canary` after `cutover`", expected);
                    return;
                }
                self.weights(at, canary.route.as_ref(), &canary.weights);
            }
            Step::Cutover { .. } => self.cutover(at),
            Step::Shift { target_permille, route } => {
                self.needs_http(at);
                self.weights(at, route.as_ref(), &[*target_permille]);
            }
            Step::Soak { .. } | Step::Run { .. } => {}
            Step::Finish => self.finish(at),
        }
    }

    fn replicate(&mut self, at: &StepDraft) {
        self.needs_postgres(at);
        if self.replicated {
            self.fault(at, "`replicate` a second time", "it once");
        } else if self.cut_over {
            self.fault(at, "`replicate` after `cutover`", "`replicate` before it");
        }
        self.replicated = true;
    }

    fn cutover(&mut self, at: &StepDraft) {
        self.needs_postgres(at);
        if self.cut_over {
            self.fault(at, "`cutover` a second time", "it once; `rollback` is a verb");
        } else if !self.replicated {
            let expected = "`replicate` in an earlier step";
            self.fault(at, "`cutover` before `replicate`", expected);
        }
        self.cut_over = true;
        if self.moves_http() && self.draft.gates.postgres.is_none() {
            self.led = true;
            let whole = self.split.whole(Side::Target);
            self.split.set(None, whole, &mut self.target_permille);
        }
    }

    fn finish(&mut self, at: &StepDraft) {
        if self.draft.source.postgres.is_some() && !self.cut_over {
            let found = "`finish` without a `cutover`";
            self.fault(at, found, "`cutover` before it: the data would stay on the source");
        }
        let least = self.least();
        if self.moves_http() && least < 1000 {
            let found = format!("`finish` with {} on the target", show_permille(least));
            self.fault(at, &found, "`shift: {to: 100%}` before it");
        }
        self.finished = true;
    }

    /// The least share that any route has.
    fn least(&self) -> u16 {
        let share = |name| self.split.share_of(name, self.target_permille).target_permille;
        self.names.iter().map(share).min().unwrap_or(self.target_permille)
    }

    fn weights(&mut self, at: &StepDraft, route: Option<&RouteName>, weights: &[u16]) {
        let Some((first, last)) = weights.first().zip(weights.last()) else { return };
        let has_own = |name| self.split.own.contains_key(name);
        let all_own = !self.names.is_empty() && self.names.iter().all(has_own);
        let now = match route {
            Some(route) if !self.is_known(at, route) => return,
            Some(route) => self.split.share_of(route, self.target_permille).target_permille,
            None if *last == 1000 => self.least(),
            None if all_own => {
                let found = "no route, when a step of its own has moved each of them";
                self.fault(at, found, "`route: …`, for without it nothing would be moved");
                return;
            }
            None => self.target_permille,
        };
        // To say once more that all requests go to the target does no harm.
        if *first <= now && !(self.led && *first == 1000) {
            let of = route.map(|route| format!(" of `{route}`")).unwrap_or_default();
            let (first, now) = (show_permille(*first), show_permille(now));
            let found = format!("{first}{of} when the target already has {now}");
            self.fault(at, &found, "weights that ascend; less traffic is a `rollback`");
            return;
        }
        let share = Share { target_permille: *last, salt: 0 };
        self.split.set(route, share, &mut self.target_permille);
    }

    fn is_known(&mut self, at: &StepDraft, route: &RouteName) -> bool {
        // Without a gate something else is wrong, and told.
        let unknown = !self.names.is_empty() && !self.names.contains(route);
        if unknown {
            let path = format!("{}.route", at.path);
            let names: Vec<&str> = self.names.iter().map(RouteName::as_str).collect();
            let found = format!("the unknown route `{route}`");
            self.reader.fault(
                FaultKind::Contradiction,
                at.place,
                &path,
                found,
                format!("{} of `gates.http.routes`", one_of(&names)),
            );
            self.reader.suggest(route.as_str(), &names);
        }
        !unknown
    }

    fn moves_http(&self) -> bool {
        self.draft.gates.http.is_some()
            && self.draft.source.http.is_some()
            && self.draft.target.http.is_some()
    }

    fn needs_http(&mut self, at: &StepDraft) {
        if !self.moves_http() {
            let found = format!("`{}` in a plan that moves no requests", at.step.name());
            self.fault(at, &found, "`http` on both sides and `gates.http`");
        }
    }

    fn needs_postgres(&mut self, at: &StepDraft) {
        if self.draft.source.postgres.is_none() && self.draft.target.postgres.is_none() {
            let found = format!("`{}` in a plan without a database", at.step.name());
            self.fault(at, &found, "`postgres` on both sides");
        }
    }

    fn asks_http(&mut self, at: &StepDraft, asked: impl Iterator<Item = Against>) {
        let sides = (self.draft.source.http, self.draft.target.http, self.draft.gates.http);
        self.asked(at, asked, "http", sides);
    }

    fn smoke_sql(&mut self, at: &StepDraft, asked: impl Iterator<Item = Against>) {
        let draft = self.draft;
        let sides = (draft.source.postgres, draft.target.postgres, draft.gates.postgres);
        self.asked(at, asked, "postgres", sides);
    }

    fn asked<P: Copy>(
        &mut self,
        at: &StepDraft,
        asked: impl Iterator<Item = Against>,
        what: &str,
        (source, target, gate): (Option<P>, Option<P>, Option<P>),
    ) {
        let mut told = Vec::new();
        for against in asked {
            let (there, section) = match against {
                Against::Source => (source.is_some(), "source"),
                Against::Target => (target.is_some(), "target"),
                Against::Gate => (gate.is_some(), "gates"),
            };
            if !there && !told.contains(&section) {
                let found = format!("a question to `{section}.{what}`, which the plan lacks");
                self.fault(at, &found, &format!("`{section}.{what}`, or to ask elsewhere"));
                told.push(section);
            }
        }
    }
}
