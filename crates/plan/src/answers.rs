//! What only people know: a plan may hold it, or a file of its own (`kind: Answers`).

use changeover_types::{AnswerKind, Declared, Waiver, questions};
use serde::Serialize;

use crate::fault::Faults;
use crate::{node, read, reader};

/// What people declared and accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// Answers, each with the line on which it stands.
    pub declared: Declared,
    /// Findings that are accepted for a while.
    pub waivers: Vec<Waiver>,
}

/// Reads the text of an answers file. `file` is only used to say where things are.
///
/// # Errors
/// With every fault that was found, in the order of the file.
pub fn answers(file: &str, text: &str) -> Result<Answers, Faults> {
    let mut reader = reader::Reader::default();
    let root = node::build(text, &mut reader);
    let answers = root.as_ref().and_then(|root| read::answers::file(root, &mut reader));
    match answers {
        Some(answers) if reader.is_clean() => Ok(answers),
        _ => Err(reader.into_faults(file, text)),
    }
}

/// An answers file that asks for everything and answers nothing yet. What is left at `…` is a
/// fault, so a question cannot be answered by accident.
#[must_use]
pub fn answers_template() -> String {
    let mut text = String::from(
        "# What only people know. Remove the `#` of `declared`, of a section and of each line that \
         you\n# can answer, and replace its `…`.\n\
         apiVersion: changeover/v1\nkind: Answers\n#declared:\n",
    );
    let mut section = "";
    for question in questions::ALL {
        if question.section != section {
            section = question.section;
            text.push_str(&format!("#  {section}:\n"));
        }
        let form = match question.kind {
            AnswerKind::YesNo => "yes or no",
            AnswerKind::Bytes => "like 200GB",
            AnswerKind::Duration => "like 5m",
            AnswerKind::Date => "like 2026-11-30",
            AnswerKind::Count => "a number",
        };
        text.push_str(&format!("#    {}: …  # {form}: {}\n", question.key, question.asks));
    }
    text.push_str(
        "#waivers:\n#  - {id: materialized_views, reason: …, by: …, until: 2026-11-30}\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use changeover_types::{Answer, WallMs};

    use super::*;

    #[test]
    fn the_template_asks_and_answers_nothing() {
        let template = answers_template();
        let empty = answers("answers.yaml", &template).unwrap();
        assert_eq!(empty, Answers::default());
        let uncommented: String =
            template.lines().map(|line| format!("{}\n", line.trim_start_matches('#'))).collect();
        let body = uncommented.split_once("apiVersion").unwrap().1;
        let faults = answers("answers.yaml", &format!("apiVersion{body}")).unwrap_err();
        // Every question, but neither the reason nor the name of the waiver, which are free texts.
        assert_eq!(faults.0.len(), questions::ALL.len(), "{faults}");
    }

    #[test]
    fn answers_and_waivers_are_read_with_their_lines() {
        let text = "apiVersion: changeover/v1\nkind: Answers\ndeclared:\n  target: {zones: 3}\n  \
                    move:\n    window: 2h\nwaivers:\n  - {id: materialized_views, reason: \
                    small, by: alice, until: 2026-11-30}\n";
        let read = answers("answers.yaml", text).unwrap();
        let zones = read.declared.answer(&questions::ZONES).unwrap();
        assert_eq!(zones, &(Answer::Count(3), "4".to_owned()));
        let window = read.declared.answer(&questions::WINDOW).unwrap();
        assert_eq!(window, &(Answer::DurationMs(7_200_000), "6".to_owned()));
        assert_eq!(read.waivers[0].by, "alice");
        assert_eq!(read.waivers[0].until, WallMs(1_796_083_199_999), "the end of that day");
    }

    #[test]
    fn what_is_not_asked_is_refused_with_its_place() {
        let text = "apiVersion: changeover/v1\nkind: Answers\ndeclared: {target: {zoness: 3}}\n\
                    waivers: [{id: R01, reason: x, by: y}]\n";
        let faults = answers("answers.yaml", text).unwrap_err().to_string();
        assert!(faults.contains("answers.yaml:3:"), "{faults}");
        assert!(faults.contains("did you mean `zones`?"), "{faults}");
        assert!(faults.contains("no `until`"), "{faults}");
    }
}
