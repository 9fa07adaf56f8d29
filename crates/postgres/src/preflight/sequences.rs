//! What sequences can promise: each is carried over with a margin, as far as it has room for one.

use changeover_types::{Side, quote_ident};

use super::Severity::{Low, Medium};
use super::{Findings, Thing};
use crate::catalog::{Catalog, Sequence};
use crate::sequences::margin_of;

pub(super) fn judge(catalog: &Catalog, margin: u64, findings: &mut Findings) {
    let sequences = || catalog.sequences.iter();
    findings.many(
        Medium,
        "sequence_cycle",
        Side::Source,
        ["sequence has CYCLE", "sequences have CYCLE"],
        sequences().filter(|sequence| sequence.cycle).map(|sequence| {
            let statement = format!("ALTER SEQUENCE {} NO CYCLE;", sequence.name.quoted());
            Thing::mended_by(&sequence.name, statement)
        }),
        [
            "the margin we leave for numbers taken meanwhile may wrap around",
            "ALTER SEQUENCE … NO CYCLE",
        ],
    );
    findings.many(
        Low,
        "sequence_down",
        Side::Source,
        ["sequence counts down", "sequences count down"],
        sequences().filter(|sequence| sequence.increment < 0).map(|sequence| &sequence.name),
        ["the margin is taken downwards", ""],
    );
    nearly_used_up(catalog, margin, findings);
    findings.many(
        Low,
        "sequence_unowned",
        Side::Source,
        ["sequence that no column owns", "sequences that no column owns"],
        sequences().filter(|sequence| sequence.owned_by.is_none()).map(|it| &it.name),
        ["they move because they are in a moved schema", ""],
    );
}

/// A sequence that cannot set the whole margin aside, or has no number left at all.
fn nearly_used_up(catalog: &Catalog, margin: u64, findings: &mut Findings) {
    let counted = catalog.sequences.iter().filter(|it| it.readable && !it.cycle);
    let (empty, low): (Vec<&Sequence>, Vec<&Sequence>) =
        counted.filter(|it| margin_of(it.room(), margin) < margin).partition(|it| it.room() == 0);
    findings.many(
        Medium,
        "sequence_room",
        Side::Source,
        ["sequence is nearly used up", "sequences are nearly used up"],
        low.iter().map(|it| {
            let room = it.room();
            let name = format!("{} ({room} left, {} set aside)", it.name, margin_of(room, margin));
            Thing::mended_by(name, widened(it))
        }),
        [
            "they move, but set aside fewer numbers than data.sequence_margin asks for: whoever goes \
             on taking numbers on the side that has lost authority meets those of the other side \
             sooner",
            "Before the copy, give the column and its sequence a larger type, or lower \
             data.sequence_margin",
        ],
    );
    findings.many(
        Medium,
        "sequence_used_up",
        Side::Source,
        ["sequence has no number left", "sequences have no number left"],
        empty.iter().map(|it| Thing::mended_by(&it.name, widened(it))),
        [
            "whatever takes one fails, here as on the target",
            "Before the copy, give the column and its sequence a larger type",
        ],
    );
}

/// The statements that give a sequence, and the column that it numbers, the widest type.
fn widened(sequence: &Sequence) -> String {
    let end = if sequence.increment < 0 { "NO MINVALUE" } else { "NO MAXVALUE" };
    let wider = format!("ALTER SEQUENCE {} AS bigint {end};", sequence.name.quoted());
    match &sequence.owned_by {
        Some(owner) if sequence.type_name != "bigint" => format!(
            "ALTER TABLE {} ALTER COLUMN {} TYPE bigint; {wider}",
            owner.table.quoted(),
            quote_ident(&owner.column)
        ),
        _ => wider,
    }
}
