//! `approve` of a phase: who must say yes.

use std::time::Duration;

use crate::fault::FaultKind;
use crate::model::{Approve, Outcome};
use crate::reader::{Field, Reader};

use super::{duration, window};

const NAMES_MAX: usize = 100;
const WITHIN: Duration = Duration::from_secs(24 * 3600);

/// `{from: [alice, bob], count: 2, within: 2h, self: false, on_timeout: hold}`.
pub(super) fn read(field: &Field<'_>, reader: &mut Reader) -> Option<Approve> {
    let mut fields = reader.map(field)?;
    let from = fields
        .need("from", "`from: [NAME, …]`, who may approve", reader)
        .and_then(|field| names(&field, reader));
    let count_field = fields.get("count");
    let limits = (Duration::from_secs(1), Duration::from_secs(30 * 86_400));
    let within = match fields.get("within") {
        Some(field) => duration(&field, limits, reader),
        None => Some(WITHIN),
    };
    let self_ = match fields.get("self") {
        Some(field) => reader.word(&field, &[("true", true), ("false", false)]),
        None => Some(true),
    };
    let on_timeout = match fields.get("on_timeout") {
        Some(field) => window::outcome(&field, reader),
        None => Some(Outcome::Hold),
    };
    fields.done(&["groups", "channels"], reader);
    let from = from?;
    let count = match count_field {
        Some(field) => {
            let most = u64::try_from(from.len()).unwrap_or(u64::MAX);
            usize::try_from(reader.number(&field, 1, most)?).unwrap_or(1)
        }
        None => 1,
    };
    Some(Approve { from, count, within: within?, self_: self_?, on_timeout: on_timeout? })
}

fn names(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<String>> {
    let items = reader.list(field, "names like [alice@example.com, bob@example.com]")?;
    if items.is_empty() || items.len() > NAMES_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {NAMES_MAX} names"));
        return None;
    }
    let expected = "a name without spaces, as given to `changeover approve --as NAME`";
    let mut names: Vec<String> = Vec::new();
    for item in &items {
        let name = |t: &str| is_name(t).then(|| t.to_owned());
        let Some(name) = reader.parsed(item, FaultKind::WrongValue, expected, name) else {
            continue;
        };
        if names.contains(&name) {
            reader.bad(FaultKind::Contradiction, item, "each name once");
        }
        names.push(name);
    }
    Some(names)
}

fn is_name(text: &str) -> bool {
    text.len() <= 100 && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}
