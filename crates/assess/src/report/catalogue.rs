//! The catalogue itself as a document.

use changeover_types::{AnswerKind, questions};

use crate::checks::CHECKS;
use crate::register::Rule;
use crate::report::markdown::inline;

/// The catalogue and the questions as Markdown tables: `docs/assess.md` holds them. `preflight` are
/// the rules of the preflight.
#[must_use]
pub fn catalogue(preflight: &[Rule]) -> String {
    let mut text = String::from("| id | fires when | severity | can be accepted |\n");
    text.push_str("|---|---|---|---|\n");
    for rule in preflight {
        let (id, fires, severity) = (rule.id, inline(rule.fires), rule.severity.as_str());
        let waivable = if rule.waivable { "yes" } else { "no" };
        text.push_str(&format!("| `{id}` | {fires} | {severity} | {waivable} |\n"));
    }
    text + "\n" + &checks()
}

fn checks() -> String {
    let mut text = String::from("| id | fires when | severity | why | what to do | owner |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for check in CHECKS {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            check.id,
            inline(check.rule),
            check.severity.as_str(),
            inline(check.why),
            inline(check.mitigation),
            check.owner.as_str(),
        ));
    }
    text.push_str("\n| key | form | asks |\n|---|---|---|\n");
    for question in questions::ALL {
        let form = match question.kind {
            AnswerKind::YesNo => "`yes` or `no`",
            AnswerKind::Bytes => "`200GB`",
            AnswerKind::Duration => "`5m`",
            AnswerKind::Date => "`2026-11-30`",
            AnswerKind::Count => "a number",
        };
        text.push_str(&format!("| `{}` | {form} | {} |\n", question.path(), inline(question.asks)));
    }
    text
}
