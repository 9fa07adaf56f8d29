//! `cost`, and the ceiling that `objectives` sets for it.

use crate::cost::Cost;
use crate::fault::FaultKind;
use crate::reader::{Fields, Reader};

pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Cost> {
    let field = fields.get("cost")?;
    let mut fields = reader.map(&field)?;
    let expected = "three letters, like EUR";
    let currency = fields.need("currency", expected, reader).and_then(|field| {
        let code = |t: &str| t.len() == 3 && t.bytes().all(|b| b.is_ascii_uppercase());
        let code = |t: &str| code(t).then(|| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, expected, code)
    });
    let mut price = |key: &'static str| {
        let expected = "a price for each hour, like 12.50";
        let field = fields.need(key, expected, reader)?;
        reader.parsed(&field, FaultKind::WrongValue, expected, crate::units::amount)
    };
    let (source, target) = (price("source_per_hour"), price("target_per_hour"));
    fields.done(&["prices"], reader);
    Some(Cost { currency: currency?, source_per_hour: source?, target_per_hour: target? })
}

/// `cost_ceiling`, in the currency of `cost`.
pub(super) fn ceiling(
    fields: &mut Fields<'_>,
    has_prices: bool,
    reader: &mut Reader,
) -> Option<f64> {
    let field = fields.get("cost_ceiling")?;
    if !has_prices {
        let found = "a ceiling without prices, which would hold for nothing";
        let expected = "`cost: {currency: …, source_per_hour: …, target_per_hour: …}`";
        reader.fault(FaultKind::Missing, field.place(), &field.path, found, expected);
    }
    let expected = "an amount in the currency of `cost`, like 500";
    reader.parsed(&field, FaultKind::WrongValue, expected, crate::units::amount)
}
