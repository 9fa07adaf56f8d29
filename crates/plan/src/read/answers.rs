//! `declared` and `waivers`: what only people know, in a plan or in a file of its own.

use changeover_types::{Answer, AnswerKind, Declared, Question, Waiver, calendar, questions};

use crate::answers::Answers;
use crate::fault::FaultKind;
use crate::node::Node;
use crate::reader::{Field, Fields, Reader};
use crate::units;

/// More waivers than this are a policy, not exceptions.
const WAIVERS_MAX: usize = 200;

/// The one mapping of an answers file.
pub(crate) fn file(root: &Node, reader: &mut Reader) -> Option<Answers> {
    let root = Field { node: root, path: String::new() };
    let mut fields = reader.map(&root)?;
    if let Some(field) = fields.need("apiVersion", "`apiVersion: changeover/v1`", reader) {
        reader.word(&field, &[("changeover/v1", ())]);
    }
    if let Some(field) = fields.need("kind", "`kind: Answers`", reader) {
        reader.word(&field, &[("Answers", ())]);
    }
    let answers = sections(&mut fields, reader);
    fields.done(&[], reader);
    Some(answers)
}

/// The two sections, wherever they stand.
pub(crate) fn sections(fields: &mut Fields<'_>, reader: &mut Reader) -> Answers {
    let mut answers = Answers::default();
    if let Some(field) = fields.get("declared") {
        declared(&field, &mut answers.declared, reader);
    }
    if let Some(field) = fields.get("waivers") {
        answers.waivers = waivers(&field, reader).unwrap_or_default();
    }
    answers
}

fn declared(field: &Field<'_>, declared: &mut Declared, reader: &mut Reader) {
    let Some(mut sections) = reader.map(field) else { return };
    let mut done: Vec<&str> = Vec::new();
    for section in questions::ALL.iter().map(|question| question.section) {
        if done.contains(&section) {
            continue;
        }
        done.push(section);
        let Some(field) = sections.get(section) else { continue };
        let Some(mut fields) = reader.map(&field) else { continue };
        for question in questions::ALL.iter().filter(|question| question.section == section) {
            let Some(field) = fields.get(question.key) else { continue };
            if let Some(answer) = answer(question, &field, reader) {
                let line = field.place().line.to_string();
                declared.0.insert(question.path(), (answer, line));
            }
        }
        fields.done(&[], reader);
    }
    sections.done(&[], reader);
}

fn answer(question: &Question, field: &Field<'_>, reader: &mut Reader) -> Option<Answer> {
    let expected = |form: &str| format!("{form}: {}", question.asks);
    match question.kind {
        AnswerKind::YesNo => {
            let words = [("yes", true), ("no", false)];
            reader.word(field, &words).map(Answer::YesNo)
        }
        AnswerKind::Bytes => {
            let expected = expected("a size like `200GB`");
            let bytes = reader.parsed(field, FaultKind::WrongUnit, &expected, units::bytes);
            bytes.map(Answer::Bytes)
        }
        AnswerKind::Duration => {
            let expected = expected("a duration like `5m`");
            let duration =
                reader.parsed(field, FaultKind::WrongUnit, &expected, units::duration)?;
            u64::try_from(duration.as_millis()).ok().map(Answer::DurationMs)
        }
        AnswerKind::Date => {
            let expected = expected("a date like `2026-11-30`");
            let date = reader.parsed(field, FaultKind::WrongValue, &expected, calendar::end_of_day);
            date.map(Answer::Date)
        }
        AnswerKind::Count => reader.number(field, 0, 1_000_000_000).map(Answer::Count),
    }
}

fn waivers(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<Waiver>> {
    let items = reader.list(field, "waivers like `{id: …, reason: …, by: …, until: …}`")?;
    if items.len() > WAIVERS_MAX {
        reader.bad(FaultKind::TooLarge, field, format!("at most {WAIVERS_MAX} waivers"));
    }
    Some(items.iter().filter_map(|item| waiver(item, reader)).collect())
}

fn waiver(item: &Field<'_>, reader: &mut Reader) -> Option<Waiver> {
    let mut fields = reader.map(item)?;
    let mut text = |key: &'static str, expected: &str, reader: &mut Reader| {
        let field = fields.need(key, expected, reader)?;
        reader.text(&field, expected).map(str::to_owned)
    };
    let id = text("id", "a risk's id like `materialized_views`", reader);
    let reason = text("reason", "why the finding is accepted", reader);
    let by = text("by", "whose word it is", reader);
    let expected = "a date like `2026-11-30`, after which the waiver counts as none";
    let until = fields.need("until", expected, reader).and_then(|field| {
        reader.parsed(&field, FaultKind::WrongValue, expected, calendar::end_of_day)
    });
    fields.done(&[], reader);
    Some(Waiver { id: id?, reason: reason?, by: by?, until: until? })
}
