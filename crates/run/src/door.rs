//! What stands before a phase, of a run or of a program: its window, then its approvals.

use std::time::Duration;

use changeover_plan::{Approve, Entrance, Opening, Outcome};
use changeover_types::WallMs;

use crate::control::{Approval, Control, Who, WindowState};
use crate::decide::Refusal;
use crate::event::Event;
use crate::next::Next;
use crate::state::Pause;

/// A phase that may not begin yet.
pub(crate) struct Door<'a> {
    /// Its index.
    pub(crate) phase: usize,
    /// Its first step, as `phase/step`.
    pub(crate) step: &'a str,
    /// What must be so.
    pub(crate) entrance: &'a Entrance,
    /// What is so.
    pub(crate) control: &'a Control,
    /// Of the plan or the program.
    pub(crate) digest: &'a str,
}

impl<'a> Door<'a> {
    /// Whether it is shut: it has conditions and was not opened.
    pub(crate) fn is_shut(&self) -> bool {
        let has_conditions = self.entrance.window.is_some() || self.entrance.approve.is_some();
        has_conditions && self.control.opened != Some(self.phase)
    }

    /// Its window, as far as it was looked up.
    pub(crate) fn window(&self) -> Option<WindowState> {
        self.control.window.filter(|window| window.phase == self.phase)
    }

    /// Its approval, as far as it was asked for.
    pub(crate) fn asked(&self) -> Option<&'a Approval> {
        self.control.approval.as_ref().filter(|asked| asked.step == self.step)
    }

    /// Whether its window, if it has one, is open.
    pub(crate) fn is_in_time(&self) -> bool {
        self.entrance.window.is_none() || self.window().is_some_and(|window| window.reached)
    }

    /// The next event that nobody has to be asked for. `facts` is the digest of what is known now.
    pub(crate) fn next(&self, facts: impl FnOnce() -> String, now: WallMs) -> Option<Event> {
        if let Some(window) = &self.entrance.window {
            match self.window() {
                None => {
                    let Opening { opens, closes } = window.opening(now);
                    return Some(Event::WindowFound { phase: self.phase, opens, closes });
                }
                Some(found) if !found.reached => {
                    return (now >= found.opens).then_some(Event::WindowReached);
                }
                Some(found) if now >= found.closes => return Some(Event::WindowClosed),
                Some(_) => {}
            }
        }
        match (&self.entrance.approve, self.asked()) {
            (None, _) => Some(Event::PhaseOpened { phase: self.phase }),
            (Some(_), Some(asked)) if asked.facts != facts() => {
                Some(Event::ApprovalVoid { why: "what it was given for has changed".to_owned() })
            }
            (Some(_), _) => None,
        }
    }

    /// The question to its people.
    pub(crate) fn ask(&self, rule: &Approve, facts: String, now: WallMs) -> Event {
        Event::ApprovalAsked {
            step: self.step.to_owned(),
            at: now,
            expires: WallMs(now.0.saturating_add(millis(rule.within))),
            facts,
            needed: rule.count,
            from: rule.from.clone(),
        }
    }

    /// Somebody says yes.
    ///
    /// # Errors
    /// If nothing is asked, or not of them, or for something else.
    pub(crate) fn approve(
        &self,
        who: &Who,
        facts: &str,
        now: WallMs,
    ) -> Result<Vec<Event>, Refusal> {
        let asked = self.waiting("approve", facts)?;
        let identity = who.identity();
        may_speak("approve", identity, &asked.from)?;
        if now >= asked.expires {
            return Err(not_now("approve", "the time for it is over"));
        }
        let rule = self.entrance.approve.as_ref();
        let is_applier = self.control.appliers.iter().any(|name| name == identity);
        if is_applier && rule.is_some_and(|rule| !rule.self_) {
            let why =
                format!("{identity} ran `apply`, and this approval must come from somebody else");
            return Err(not_now("approve", &why));
        }
        if asked.is_complete() {
            return Ok(vec![]);
        }
        Ok(vec![Event::Approved {
            who: who.clone(),
            method: "cli".to_owned(),
            plan_digest: self.digest.to_owned(),
            step: asked.step.clone(),
            facts: facts.to_owned(),
            expires: asked.expires,
            at: now,
        }])
    }

    /// Somebody says no; gives the pause that this is.
    ///
    /// # Errors
    /// As [`Door::approve`].
    pub(crate) fn reject(
        &self,
        who: &Who,
        facts: &str,
        why: &str,
    ) -> Result<(Event, Pause), Refusal> {
        let asked = self.waiting("reject", facts)?;
        may_speak("reject", who.identity(), &asked.from)?;
        let pause = Pause {
            why: format!("{}{}: {why}", rejected_by(who), asked.step),
            next: Next::Resume,
            by: Some(who.clone()),
            finishing: false,
        };
        Ok((Event::ApprovalRejected { who: who.clone(), why: why.to_owned() }, pause))
    }

    fn waiting(&self, verb: &'static str, facts: &str) -> Result<&'a Approval, Refusal> {
        let asked = self.asked().ok_or_else(|| nothing_waits(verb))?;
        if asked.facts != facts {
            let why = "what is known has changed since you looked; look again, then decide";
            return Err(not_now(verb, why));
        }
        Ok(asked)
    }

    /// What becomes of an approval whose time is over, and why.
    pub(crate) fn expired(&self, now: WallMs) -> Option<(Outcome, String)> {
        let (asked, rule) = (self.asked()?, self.entrance.approve.as_ref()?);
        let why = || {
            format!(
                "{} was not approved in time: {} of {} said yes",
                asked.step,
                asked.given.len(),
                asked.needed
            )
        };
        (now >= asked.expires).then(|| (rule.on_timeout, why()))
    }
}

/// Whether this yes was given already, also when it was the last that was missing.
pub(crate) fn was_given(control: &Control, who: &Who, facts: &str) -> bool {
    let given = |it: &Approval| it.given.iter().any(|name| name == who.identity());
    control.approval.as_ref().is_some_and(|it| it.facts == facts && given(it))
}

/// Whether this no is why nothing goes on.
pub(crate) fn was_rejected(pause: Option<&Pause>, who: &Who) -> bool {
    pause.is_some_and(|pause| pause.why.starts_with(&rejected_by(who)))
}

fn rejected_by(who: &Who) -> String {
    format!("{} rejected ", who.identity())
}

pub(crate) fn nothing_waits(verb: &'static str) -> Refusal {
    not_now(verb, "nothing waits for an approval; see its status")
}

fn may_speak(verb: &'static str, identity: &str, from: &[String]) -> Result<(), Refusal> {
    if from.iter().any(|name| name == identity) {
        return Ok(());
    }
    let from = from.join(", ");
    let why =
        format!("{identity} is not asked; those who are: {from} (say who you are: --as NAME)");
    Err(not_now(verb, &why))
}

pub(crate) fn not_now(what: &'static str, why: &str) -> Refusal {
    Refusal::NotNow { what, why: why.to_owned() }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
