//! `mirror`: real requests, asked of both sides.

use std::time::Duration;

use crate::fault::FaultKind;
use crate::model::Step;
use crate::model::checks::Mirror;
use crate::reader::{Field, Fields, Reader};
use crate::units;

use super::{ask, duration, on_fail, percentage};

const SAMPLE_OF_10K: u16 = 500;
const AT_MOST: f64 = 0.001;
const LEAST: u64 = 100;
const WORDS_MAX: usize = 100;

pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Step> {
    let on_fail = on_fail::read(fields, reader);
    let expected = "a share from 0.01% to 100%, written like 5%";
    let sample = fields.get("sample").map(|field| {
        reader.parsed(&field, FaultKind::WrongUnit, expected, |text| {
            let share = units::percentage(text)? * 10_000.0;
            // 1 to 10 000 after the rounding.
            (0.5..=10_000.0).contains(&share).then(|| share.round() as u16)
        })
    });
    let lasts = fields.need("for", "how long, like `for: 10m`", reader);
    let limits = (Duration::from_secs(1), Duration::from_secs(7 * 86_400));
    let lasts = lasts.and_then(|field| duration(&field, limits, reader));
    let at_most = fields.get("at_most").map(|field| percentage(&field, reader));
    let least = fields.get("least").map(|field| reader.number(&field, 1, 1_000_000_000));
    let headers = fields.get("headers").map(|field| {
        ask::list(&field, "names of headers", WORDS_MAX, reader, |item, reader| {
            word(item, reader).map(|name| name.to_ascii_lowercase())
        })
    });
    let ignore = fields.get("ignore").map(|field| {
        let of = "fields as they are told, like /items/*/id or header etag";
        ask::list(&field, of, WORDS_MAX, reader, word)
    });
    let usual = ["content-type", "location"].map(str::to_owned).to_vec();
    Some(Step::Mirror(Mirror {
        sample_of_10k: sample.unwrap_or(Some(SAMPLE_OF_10K))?,
        lasts: lasts?,
        at_most: at_most.unwrap_or(Some(AT_MOST))?,
        least: least.unwrap_or(Some(LEAST))?,
        headers: headers.unwrap_or(Some(usual))?,
        ignore: ignore.unwrap_or_default().unwrap_or_default(),
        on_fail,
    }))
}

fn word(field: &Field<'_>, reader: &mut Reader) -> Option<String> {
    reader.text(field, "a word").map(str::to_owned)
}
