//! Checks: the steps that ask instead of move. Each may be dropped at any point and carried out
//! again from its beginning.

mod command;
mod load;
mod mirror;
mod smoke;

pub use command::GUARD_VERB;
pub(crate) use command::keeper;

use std::collections::BTreeMap;

use changeover_plan::{Against, Step, Text};
use changeover_run::{Input, Next, State};
use changeover_types::{CheckCase, CheckReport};
use tokio::time::Instant;

use super::Effects;
use crate::protocol::{CheckStatus, EventKind};
use crate::secrets;

/// More failures than this are not told one by one; the journal has them.
const FAILURES_TOLD: usize = 20;

/// What a check found.
struct Found {
    summary: String,
    cases: Vec<CheckCase>,
    numbers: BTreeMap<String, u64>,
}

impl Effects {
    /// Carries out the check that a step is.
    pub(super) async fn check(&mut self, step: usize, state: &State) -> Input {
        let plan = self.plan.clone();
        let Some(placed) = plan.steps().nth(step) else {
            return not_a_check("there is no such step");
        };
        self.board.show_check(Some(CheckStatus::of(placed.step.name())));
        let begun = Instant::now();
        let found = match placed.step {
            Step::Smoke(smoke) => Ok(self.smoke(smoke, state.cutover.authority).await),
            Step::Load(load) => self.load(load, &placed.path).await,
            Step::Mirror(mirror) => self.mirror(mirror).await,
            Step::Run { exec, .. } => self.run_command(exec, &placed.path).await,
            _ => Err(format!("`{}` is no check", placed.step.name())),
        };
        let Found { summary, cases, numbers } = match found {
            Ok(found) => found,
            Err(why) => return not_a_check(&why),
        };
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (step, check) = (placed.path, placed.step.name().to_owned());
        let report = CheckReport { step, check, summary, took_ms, cases, numbers };
        self.tell_failures(&report);
        self.board.show_check(None);
        Input::Checked { report }
    }

    fn tell_failures(&self, report: &CheckReport) {
        let failures = report.failed().flat_map(|case| {
            case.failures.iter().map(move |failure| format!("{}: {failure}", case.name))
        });
        let failures: Vec<String> = failures.collect();
        for failure in failures.iter().take(FAILURES_TOLD) {
            self.board.say(EventKind::Warning, failure.as_str());
        }
        if let Some(more) = failures.len().checked_sub(FAILURES_TOLD).filter(|more| *more > 0) {
            self.board.say(EventKind::Warning, format!("and {more} more failures"));
        }
    }

    /// Where an HTTP question goes: each upstream of a side, or the gate. Never empty.
    fn addresses(&self, against: Against) -> Vec<String> {
        let urls = match against.side() {
            Some(side) => self.plan.side(side).http.as_ref().map(|http| http.upstreams.clone()),
            None => self.plan.gates.http.as_ref().map(|gate| vec![gate.listen.to_string()]),
        };
        let plain =
            |url: String| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        urls.unwrap_or_default().into_iter().map(plain).collect()
    }

    /// A text of the plan; a secret is read now.
    fn text(&self, text: &Text, what: &str) -> Result<String, String> {
        match text {
            Text::Plain(text) => Ok(text.clone()),
            Text::Secret(secret) => secrets::secret(secret, &self.plan_path, what)
                .map_err(|report| format!("{}: {}", report.headline, report.chain.join(": "))),
        }
    }

    /// Names and values, secrets read.
    fn texts(&self, texts: &[(String, Text)], what: &str) -> Result<Vec<(String, String)>, String> {
        let read = |(name, text): &(String, Text)| {
            Ok((name.clone(), self.text(text, &format!("the {what} {name}"))?))
        };
        texts.iter().map(read).collect()
    }
}

fn not_a_check(why: &str) -> Input {
    Input::Failed { why: why.to_owned(), next: Next::Apply }
}
