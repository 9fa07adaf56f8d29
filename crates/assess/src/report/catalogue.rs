//! The catalogue itself as a document.

use changeover_types::{AnswerKind, questions};

use crate::checks::CHECKS;
use crate::report::markdown::inline;

/// The catalogue and the questions as Markdown tables: `docs/assess.md` holds them.
#[must_use]
pub fn catalogue() -> String {
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_holds_the_catalogue_of_today() {
        let document = include_str!("../../../../docs/assess.md");
        assert!(
            document.contains(&super::catalogue()),
            "put the output of `changeover assess --catalogue` at the end of docs/assess.md"
        );
    }
}
