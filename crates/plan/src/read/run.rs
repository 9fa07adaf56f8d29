//! `run`: a command of the user's.

use std::time::Duration;

use crate::fault::FaultKind;
use crate::model::Step;
use crate::model::checks::{Exec, Text};
use crate::node::Shape;
use crate::reader::{Field, Fields, Reader};

use super::{ask, duration, environment, on_fail};

const WITHIN: Duration = Duration::from_secs(600);
const WORDS_MAX: usize = 200;

pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Step> {
    let on_fail = on_fail::read(fields, reader);
    Some(Step::Run { exec: exec(fields, reader)?, on_fail })
}

/// `command`, `within`, `junit`, `env`.
pub(super) fn exec(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Exec> {
    let expected = "a command and its arguments, like [npx, playwright, test]";
    let command = fields.need("command", expected, reader).and_then(|field| {
        if matches!(field.node.shape, Shape::Text(_)) {
            reader.bad(FaultKind::WrongType, &field, expected);
            reader.hint("nothing is given to a shell; for one write [sh, -c, \"…\"]");
            return None;
        }
        ask::list(&field, "words", WORDS_MAX, reader, |item, reader| match &item.node.shape {
            Shape::Text(word) if !word.contains('\0') => Some(word.clone()),
            _ => {
                reader.bad(FaultKind::WrongType, item, "a word");
                None
            }
        })
    });
    let limits = (Duration::from_millis(100), Duration::from_secs(7 * 86_400));
    let within = fields.get("within").and_then(|field| duration(&field, limits, reader));
    let junit = fields.get("junit").and_then(|field| {
        let expected = "a pattern like reports/*.xml, from the plan's folder on";
        reader.text(&field, expected).map(str::to_owned)
    });
    let env = fields.get("env").map(|field| env(&field, reader)).unwrap_or_default();
    let command = command?;
    Some(Exec { command, within: within.unwrap_or(WITHIN), junit, env })
}

/// `{NAME: text, OTHER: {env: …}}`.
fn env(field: &Field<'_>, reader: &mut Reader) -> Vec<(String, Text)> {
    let mut env = Vec::new();
    for (name, field) in reader.pairs(field).unwrap_or_default() {
        if !environment::variable_name(name) {
            let found = format!("the name {}", crate::node::quoted(name));
            let expected = "the name of an environment variable";
            reader.fault(FaultKind::WrongValue, field.place(), &field.path, found, expected);
            continue;
        }
        let value = match &field.node.shape {
            Shape::Text(_) if looks_secret(name) => {
                let what = format!("{name}, which looks like a secret,");
                environment::secret(&field, &what, reader);
                None
            }
            Shape::Text(text) if !text.contains('\0') => Some(Text::Plain(text.clone())),
            _ => environment::secret(&field, name, reader).map(Text::Secret),
        };
        env.extend(value.map(|value| (name.to_owned(), value)));
    }
    env
}

fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "api_key", "apikey"]
        .iter()
        .any(|word| name.contains(word))
}
