//! What may change in a plan whose run has begun: whatever needs no proof. What data, clients or
//! other processes rest on already may not.

use std::fmt::Debug;

use crate::model::{Gates, Plan, Step};

/// How two plans of one migration differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What may change while the run goes on, by key.
    pub free: Vec<String>,
    /// What may not: the key, and what rests on it.
    pub bound: Vec<(String, &'static str)>,
}

impl Changes {
    fn value<T: PartialEq + Debug>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.free.push(format!("{key}: {old:?} → {new:?}"));
        }
    }

    fn free<T: PartialEq>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.free.push(key.to_owned());
        }
    }

    fn bound<T: PartialEq>(&mut self, key: &str, old: &T, new: &T, why: &'static str) {
        if old != new {
            self.bound.push((key.to_owned(), why));
        }
    }
}

const NAMED_BY_IT: &str = "the state folder, slots and publications are named by it";
const LIES_THERE: &str = "what was copied lies there";
const LEADS_THERE: &str = "the gate leads clients there, and was started with it";
const STARTED_WITH: &str = "the gate was started with it";
const WAS_COPIED: &str = "the copy, the relays and the seal are of exactly these tables";
const IN_THIS_ORDER: &str = "what was done was done in this order";
const DIGESTED: &str = "a file that the plan refers to, or a key that is compared nowhere else";

/// Compares a plan with the one that its run began with.
#[must_use]
pub fn changes(old: &Plan, new: &Plan) -> Changes {
    let mut found = Changes::default();
    found.bound("metadata.name", &old.name, &new.name, NAMED_BY_IT);
    found.free("metadata.owner", &old.owner, &new.owner);
    found.free("metadata.ticket", &old.ticket, &new.ticket);
    let (was, is) = (&old.objectives, &new.objectives);
    found.value("objectives.write_pause", &was.write_pause, &is.write_pause);
    found.value("objectives.error_rate", &was.error_rate, &is.error_rate);
    found.value("objectives.latency_p99", &was.latency_p99, &is.latency_p99);
    found.value("objectives.cost_ceiling", &was.cost_ceiling, &is.cost_ceiling);
    found.free("objectives.deadline", &was.deadline, &is.deadline);
    for (side, was, is) in
        [("source", &old.source, &new.source), ("target", &old.target, &new.target)]
    {
        found.bound(&format!("{side}.http"), &was.http, &is.http, LEADS_THERE);
        let url = |side: &crate::Environment| side.postgres.as_ref().map(|it| it.url.clone());
        found.bound(&format!("{side}.postgres.url"), &url(was), &url(is), LIES_THERE);
        let standbys = |side: &crate::Environment| side.postgres.as_ref().map(|it| it.standbys);
        found.free(&format!("{side}.postgres.standbys"), &standbys(was), &standbys(is));
    }
    gates(&old.gates, &new.gates, &mut found);
    let (was, is) = (&old.data, &new.data);
    found.bound("data.include", &was.include, &is.include, WAS_COPIED);
    found.bound("data.exclude", &was.exclude, &is.exclude, WAS_COPIED);
    found.value("data.copy_jobs", &was.copy_jobs, &is.copy_jobs);
    found.value("data.sequence_margin", &was.sequence_margin, &is.sequence_margin);
    found.value("data.reverse.keep", &was.reverse_keep, &is.reverse_keep);
    found.free("declared", &old.answers.declared, &new.answers.declared);
    found.free("waivers", &old.answers.waivers, &new.answers.waivers);
    found.free("guards", &old.guards, &new.guards);
    found.value("after_done", &old.after_done, &new.after_done);
    found.free("rehearsal", &old.rehearsal, &new.rehearsal);
    found.free("cost", &old.cost, &new.cost);
    phases(old, new, &mut found);
    if old.digest != new.digest && found == Changes::default() {
        found.bound.push(("the plan".to_owned(), DIGESTED));
    }
    found
}

fn gates(old: &Gates, new: &Gates, found: &mut Changes) {
    match (&old.http, &new.http) {
        (Some(was), Some(is)) => {
            // A gate takes them up at its next start, and the run does not rest on them.
            found.free("gates.http.limits", &was.limits, &is.limits);
            let mut rest = was.clone();
            rest.limits = is.limits;
            found.bound("gates.http", &rest, is, STARTED_WITH);
        }
        (was, is) => found.bound("gates.http", was, is, STARTED_WITH),
    }
    match (&old.postgres, &new.postgres) {
        (Some(was), Some(is)) => {
            found.value("gates.postgres.unmovable", &was.unmovable, &is.unmovable);
            let mut rest = was.clone();
            found.free("gates.postgres.limits", &was.limits, &is.limits);
            (rest.unmovable, rest.limits) = (is.unmovable, is.limits);
            found.bound("gates.postgres", &rest, is, STARTED_WITH);
        }
        (was, is) => found.bound("gates.postgres", was, is, STARTED_WITH),
    }
}

/// Phases and steps are the same in number, order and kind; what each asks for may change, but not
/// what it moves.
fn phases(old: &Plan, new: &Plan, found: &mut Changes) {
    let shape = |plan: &Plan| {
        let steps = plan.steps().map(|placed| (placed.path, placed.step.name()));
        (
            plan.phases.iter().map(|phase| phase.name.clone()).collect::<Vec<_>>(),
            steps.collect::<Vec<_>>(),
        )
    };
    if shape(old) != shape(new) {
        found.bound.push(("phases".to_owned(), IN_THIS_ORDER));
        return;
    }
    for (was, is) in old.phases.iter().zip(&new.phases) {
        found.free(&format!("phase {}: window and approval", is.name), &was.entrance, &is.entrance);
    }
    for (was, is) in old.steps().zip(new.steps()) {
        step(&is.path, was.step, is.step, found);
    }
}

fn step(path: &str, old: &Step, new: &Step, found: &mut Changes) {
    match (old, new) {
        (
            Step::Cutover { attempts: was, retry_after: waited },
            Step::Cutover { attempts, retry_after },
        ) => {
            found.value(&format!("{path}: attempts"), was, attempts);
            found.value(&format!("{path}: retry_after"), waited, retry_after);
        }
        (Step::Canary(was), Step::Canary(is)) => {
            found.bound(&format!("{path}: route"), &was.route, &is.route, IN_THIS_ORDER);
            found.free(path, was, is);
        }
        (Step::BlueGreen(was), Step::BlueGreen(is)) => {
            found.bound(&format!("{path}: route"), &was.route, &is.route, IN_THIS_ORDER);
            found.free(path, was, is);
        }
        (Step::Phased(was), Step::Phased(is)) => {
            found.bound(&format!("{path}: routes"), &was.routes, &is.routes, IN_THIS_ORDER);
            found.free(path, was, is);
        }
        (Step::Shift { .. }, Step::Shift { .. }) => found.bound(path, old, new, IN_THIS_ORDER),
        // Checks and waits: nothing rests on what they ask.
        _ => found.free(path, old, new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: shop}\n\
        objectives: {write_pause: 500ms}\n\
        source: {postgres: {url: 'postgresql://a/shop'}}\n\
        target: {postgres: {url: 'postgresql://b/shop'}}\n\
        gates: {postgres: {listen: '127.0.0.1:6432', auth: trust, unmovable: wait}}\n\
        phases:\n\
        - {name: copy, steps: [replicate, verify]}\n\
        - {name: cutover, steps: [{cutover: {attempts: 5, retry_after: 10s}}, {soak: {for: 1h}}]}\n";

    fn changed(from: &str, to: &str) -> Changes {
        assert!(PLAN.contains(from), "{from}");
        let parse = |text: &str| crate::parse("plan.yaml", text).unwrap();
        changes(&parse(PLAN), &parse(&PLAN.replace(from, to)))
    }

    #[test]
    fn what_needs_no_proof_may_change() {
        for (from, to, named) in [
            ("500ms", "2s", "objectives.write_pause: 500ms → 2s"),
            ("attempts: 5", "attempts: 1", "cutover/cutover: attempts: 5 → 1"),
            ("10s", "20s", "cutover/cutover: retry_after: 10s → 20s"),
            (
                "unmovable: wait",
                "unmovable: terminate",
                "gates.postgres.unmovable: Wait → Terminate",
            ),
            ("for: 1h", "for: 2h", "cutover/soak"),
            ("name: shop}", "name: shop, owner: bob}", "metadata.owner"),
            ("a/shop'", "a/shop', standbys: not-promotable", "source.postgres.standbys"),
            ("phases:", "data: {sequence_margin: 7}\nphases:", "data.sequence_margin: 10000 → 7"),
            (
                "name: cutover,",
                "name: cutover, approve: {from: [bob]},",
                "phase cutover: window and approval",
            ),
        ] {
            let found = changed(from, to);
            assert_eq!(found, Changes { free: vec![named.to_owned()], bound: vec![] });
        }
        assert_eq!(changed("500ms", "500ms"), Changes::default());
    }

    #[test]
    fn what_data_rests_on_may_not() {
        for (from, to, named) in [
            ("b/shop", "c/shop", "target.postgres.url"),
            ("phases:", "data: {exclude: [old]}\nphases:", "data.exclude"),
            ("[replicate, verify]", "[replicate]", "phases"),
            ("name: copy", "name: first", "phases"),
            ("6432", "6433", "gates.postgres"),
        ] {
            let found = changed(from, to);
            let keys: Vec<&str> = found.bound.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!((keys, found.free), (vec![named], vec![]), "{to}");
        }
    }
}
