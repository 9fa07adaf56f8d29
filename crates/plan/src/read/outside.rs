//! `canary.outside`: metrics from a monitoring system.

use std::time::Duration;

use crate::fault::FaultKind;
use crate::model::Measure;
use crate::outside::{Outside, SIDE, WhenStuck, looks_back};
use crate::reader::{Field, Reader};
use crate::units::show_duration;

use super::phases::phase_name;
use super::{duration, guards, percentage};

const OUTSIDE_MAX: usize = 8;
const EVERY_LEAST: Duration = Duration::from_secs(1);
const EVERY_MOST: Duration = Duration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) const STUCK: [(&str, WhenStuck); 3] =
    [("hold", WhenStuck::Hold), ("pause", WhenStuck::Pause), ("rollback", WhenStuck::Rollback)];

pub(super) fn read(field: &Field<'_>, reader: &mut Reader) -> Vec<Outside> {
    let items = reader.list(field, "metrics").unwrap_or_default();
    if items.len() > OUTSIDE_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("at most {OUTSIDE_MAX} metrics"));
    }
    let mut all: Vec<Outside> = Vec::new();
    for item in &items {
        let Some(outside) = one(item, reader) else { continue };
        if all.iter().any(|known| known.name == outside.name) {
            let found = format!("the metric `{}` a second time", outside.name);
            let expected = "a name of its own for each metric";
            reader.fault(FaultKind::Contradiction, item.place(), &item.path, found, expected);
        }
        all.push(outside);
    }
    all
}

fn one(field: &Field<'_>, reader: &mut Reader) -> Option<Outside> {
    let mut fields = reader.map(field)?;
    let expected = "a name of a-z, 0-9, _ and -, starting with a letter";
    let name = fields.need("name", expected, reader).and_then(|field| {
        let name = |t: &str| phase_name(t).then(|| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, expected, name)
    });
    let asked = "a Prometheus server and a query, like {url: …, query: …}";
    let prometheus = fields.need("prometheus", asked, reader);
    let sides = fields.get("sides");
    let worse = fields.get("worse");
    let every_field = fields.get("every");
    let margin = fields.get("margin");
    let on_no_data = fields.get("on_no_data");
    let no_data_for = fields.get("no_data_for");
    fields.done(&["exec", "compare"], reader);

    let query = prometheus.as_ref().and_then(|field| query(field, reader));
    let sides = match sides {
        Some(field) => labels(&field, reader),
        None => Some(("source".to_owned(), "target".to_owned())),
    };
    let higher_is_worse = match worse {
        Some(field) => reader.word(&field, &[("higher", true), ("lower", false)]),
        None => Some(true),
    };
    let back = query.as_ref().map_or(Duration::ZERO, |(_, query)| looks_back(query));
    let every = match every_field {
        Some(field) => every(&field, back, reader),
        None if back > EVERY_MOST => {
            let field = prometheus.as_ref()?;
            let most = show_duration(EVERY_MOST);
            reader.bad(
                FaultKind::WrongValue,
                field,
                format!("a query that looks back at most {most}"),
            );
            None
        }
        None => Some(EVERY.max(back)),
    };
    let margin = match margin {
        Some(field) => percentage(&field, reader),
        None => Some(0.1),
    };
    let on_no_data = match on_no_data {
        Some(field) => reader.word(&field, &STUCK),
        None => Some(WhenStuck::Hold),
    };
    let no_data_for = match no_data_for {
        Some(field) => duration(&field, (Duration::from_secs(1), DAY), reader),
        None => Some(Duration::from_secs(300)),
    };
    let ((url, query), (source, target)) = (query?, sides?);
    Some(Outside {
        name: name?,
        url,
        query,
        source,
        target,
        higher_is_worse: higher_is_worse?,
        every: every?,
        margin: margin?,
        on_no_data: on_no_data?,
        no_data_for: no_data_for?,
    })
}

fn query(field: &Field<'_>, reader: &mut Reader) -> Option<(String, String)> {
    let Measure::Prometheus { url, query } = guards::query(field, reader)? else { return None };
    if query.contains(SIDE) {
        return Some((url, query));
    }
    let expected =
        format!("a query with `{SIDE}` where the side stands; it is asked once for each");
    reader.bad(FaultKind::WrongValue, field, expected);
    None
}

fn labels(field: &Field<'_>, reader: &mut Reader) -> Option<(String, String)> {
    let mut fields = reader.map(field)?;
    let expected = format!("what `{SIDE}` stands for, like {{source: blue, target: green}}");
    let [source, target] = ["source", "target"].map(|side| {
        let field = fields.need(side, &expected, reader)?;
        reader.text(&field, "a text").map(str::to_owned)
    });
    fields.done(&[], reader);
    let (source, target) = (source?, target?);
    if source == target {
        reader.bad(FaultKind::Contradiction, field, "another text for each side");
    }
    Some((source, target))
}

/// Values that overlap are no new evidence, and the claim would be void.
fn every(field: &Field<'_>, back: Duration, reader: &mut Reader) -> Option<Duration> {
    let every = duration(field, (EVERY_LEAST, EVERY_MOST), reader)?;
    if every >= back {
        return Some(every);
    }
    let back = show_duration(back);
    let expected = format!("at least {back}: the query looks back so far");
    reader.bad(FaultKind::Contradiction, field, expected);
    reader.hint("pairs that overlap say the same thing twice, and no claim would hold");
    None
}
