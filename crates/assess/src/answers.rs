//! What people declared, as a check asks for it.

use changeover_types::{Answer, Question};

use crate::check::Verdict;
use crate::fact::Fact;
use crate::inventory::{Inventory, Sighting};
use crate::words::list;

impl Inventory {
    /// The answer to a question and where it stands; notes in `verdict` that it is missing.
    pub(crate) fn answer(
        &self,
        question: &Question,
        verdict: &mut Verdict,
    ) -> Option<(Answer, &str)> {
        let answer = self.answered(question);
        if answer.is_none() {
            verdict.cannot_tell(unanswered(question));
        }
        answer
    }

    /// The answer to a question and where it stands.
    pub(crate) fn answered(&self, question: &Question) -> Option<(Answer, &str)> {
        self.declared.answer(question).map(|(answer, place)| (*answer, place.as_str()))
    }

    /// A number of bytes, milliseconds or things that was declared.
    pub(crate) fn number(&self, question: &Question) -> Option<(u64, &str)> {
        match self.answered(question)? {
            (Answer::Bytes(n) | Answer::DurationMs(n) | Answer::Count(n), place) => {
                Some((n, place))
            }
            (Answer::YesNo(_) | Answer::Date(_), _) => None,
        }
    }

    /// Fires unless the answer is `good`.
    pub(crate) fn expect(&self, question: &Question, good: bool, verdict: &mut Verdict) {
        if let Some((answer, place)) = self.answer(question, verdict)
            && answer != Answer::YesNo(good)
        {
            verdict.fires(None, declared(question, place));
        }
    }

    /// Fires for what was seen. Where nothing was seen, the answer decides, for a file that does
    /// not show something proves nothing; where something was seen, a good answer settles it.
    pub(crate) fn seen_or_answered(
        &self,
        seen: &Fact<Vec<Sighting>>,
        question: &Question,
        good: bool,
        verdict: &mut Verdict,
    ) {
        let unread = seen.unread();
        let seen = seen.get().map(Vec::as_slice).unwrap_or_default();
        match self.answered(question) {
            Some((Answer::YesNo(answer), _)) if answer == good => {}
            None if seen.is_empty() => {
                verdict.cannot_tell(unanswered(question));
                if let Some(why) = unread {
                    verdict.cannot_tell(why.to_owned());
                }
            }
            None => sighted(seen, verdict),
            Some((_, place)) => {
                verdict.fires(None, declared(question, place));
                sighted(seen, verdict);
            }
        }
    }

    /// Fires for what was seen, whatever anybody says; where nothing was seen the answer decides.
    pub(crate) fn seen_or_admitted(
        &self,
        seen: &Fact<Vec<Sighting>>,
        question: &Question,
        verdict: &mut Verdict,
    ) {
        match seen.get() {
            Ok(seen) if !seen.is_empty() => sighted(seen, verdict),
            _ => self.expect(question, false, verdict),
        }
    }
}

/// Fires for what was seen.
pub(crate) fn sighted(seen: &[Sighting], verdict: &mut Verdict) {
    if !seen.is_empty() {
        let seen = list(seen.iter().map(|it| format!("{} ({})", it.what, it.place)));
        verdict.fires(None, seen);
    }
}

/// What to do about a question that nobody answered.
pub(crate) fn unanswered(question: &Question) -> String {
    format!("`{}` is not declared ({})", question.path(), question.asks)
}

/// An answer as evidence.
pub(crate) fn declared(question: &Question, place: &str) -> String {
    format!("declared in {place}: `{}`", question.path())
}
