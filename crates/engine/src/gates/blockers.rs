//! Who keeps a hold from being complete, in words, and what becomes of them.

use changeover_plan::Unmovable;
use changeover_routing::OpenWork;

/// How many are named.
const NAMED: usize = 5;

/// Open work that a hold waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blockers(pub(crate) Vec<OpenWork>);

impl Blockers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Apart: those that the policy ends once authority has moved, which nobody waits for, and those
    /// that have to end by themselves.
    pub(crate) fn part(self, policy: Unmovable) -> (Blockers, Blockers) {
        let ends = |work: &OpenWork| policy == Unmovable::Terminate && work.pins().is_some();
        let (ended, waited_for) = self.0.into_iter().partition(ends);
        (Blockers(ended), Blockers(waited_for))
    }

    /// Whether none of them ends as time goes by: idle sessions whose state cannot move. An advisory
    /// lock is let go when the job that it guards is done.
    pub(crate) fn last(&self) -> bool {
        let lasts =
            |work: &OpenWork| work.pins().is_some_and(|mut pins| !pins.any(|pin| pin == ADVISORY));
        !self.0.is_empty() && self.0.iter().all(lasts)
    }

    /// Who blocks, for how long, served by which process.
    pub(crate) fn names(&self) -> String {
        // Whoever is named is not counted among the nameless as well.
        let named = self.0.iter().filter(|work| work.server_pid.is_some()).count();
        let shown = self.0.iter().filter(|work| named == 0 || work.server_pid.is_some());
        let count = shown.clone().count();
        let mut names: Vec<String> = shown.take(NAMED).map(name).collect();
        if count > names.len() {
            names.push(format!("and {} more", count - names.len()));
        }
        names.join("; ")
    }

    /// What to do about those that do not end by themselves; `verb` is what moves authority.
    pub(crate) fn remedy(&self, verb: &str) -> Option<String> {
        let pins: Vec<&str> = self.0.iter().filter_map(OpenWork::pins).flatten().collect();
        if pins.is_empty() {
            return None;
        }
        let has = |is: fn(&str) -> bool| pins.iter().any(|pin| is(pin));
        let mut words = Vec::new();
        if has(|pin| pin.starts_with(LISTENS)) {
            words.push("a LISTEN does not end by itself");
        }
        if has(|pin| !pin.starts_with(LISTENS) && pin != ADVISORY) {
            words.push("what an idle session keeps does not end by itself");
        }
        if has(|pin| pin == ADVISORY) {
            words.push("a session that holds an advisory lock may have a job running: let it end");
        }
        Some(format!(
            "{}; stop these processes, or end their sessions with `changeover {verb} --unmovable \
             terminate`",
            words.join("; ")
        ))
    }
}

/// As the gate's look at a session calls them.
const ADVISORY: &str = "advisory locks";
const LISTENS: &str = "listens: ";

fn name(work: &OpenWork) -> String {
    let OpenWork { what, client, state, for_ms, server_pid, .. } = work;
    let seconds = *for_ms as f64 / 1000.0;
    match server_pid {
        Some(pid) => {
            format!("{what} from {client} is {state} for {seconds:.1} s, server process {pid}")
        }
        None if work.gate == "postgres" => format!("{what} (at the gate's {client})"),
        None => format!("{what} from {client} is {state} for {seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(state: &str, server_pid: Option<i32>) -> OpenWork {
        OpenWork {
            gate: "postgres".into(),
            client: "10.0.0.7:54058".into(),
            what: "pulp (worker)".into(),
            state: state.into(),
            for_ms: 1500,
            server_pid,
        }
    }

    #[test]
    fn what_lasts_and_what_ends_are_told_apart() {
        let listens = work("pinned: listens: wake, listens: stop", Some(7));
        let job = work("pinned: advisory locks", Some(8));
        let open = work("in transaction", Some(9));
        let all = |works: &[&OpenWork]| Blockers(works.iter().map(|it| (*it).clone()).collect());
        assert!(all(&[&listens]).last());
        assert!(!all(&[&listens, &job]).last());
        assert!(!all(&[&listens, &open]).last());
        assert!(!Blockers::default().last());
        let (ended, waited_for) = all(&[&listens, &job, &open]).part(Unmovable::Terminate);
        assert_eq!((ended.len(), waited_for), (2, all(&[&open])));
        assert!(all(&[&listens]).part(Unmovable::Wait).0.is_empty());
    }

    #[test]
    fn they_are_named_with_their_remedy() {
        let listens = Blockers(vec![work("pinned: listens: wake", Some(7))]);
        assert_eq!(
            listens.names(),
            "pulp (worker) from 10.0.0.7:54058 is pinned: listens: wake for 1.5 s, server process 7"
        );
        let remedy = listens.remedy("rollback").unwrap();
        assert!(remedy.starts_with("a LISTEN does not end by itself; stop"), "{remedy}");
        assert!(remedy.contains("`changeover rollback --unmovable terminate`"), "{remedy}");
        assert_eq!(Blockers(vec![work("in transaction", Some(7))]).remedy("apply"), None);
        let mut unread = work("running", None);
        unread.what = "sessions whose state is not read yet".into();
        let named = Blockers(vec![unread.clone()]).names();
        assert_eq!(named, "sessions whose state is not read yet (at the gate's 10.0.0.7:54058)");
        assert!(!Blockers(vec![unread, work("copy", Some(7))]).names().contains("not read"));
    }
}
