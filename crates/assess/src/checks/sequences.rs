//! Sequences: how much is used, and whether they can be carried over.

use changeover_types::Side;

use crate::check::{Check, Owner, Verdict, database};
use crate::finding::Severity::High;
use crate::inventory::{Inventory, Sequence};

/// Three quarters of the range.
const NEARLY_PERMILLE: u16 = 750;

pub(super) const NEARLY_USED: Check = Check {
    id: "R16-sequence-range",
    title: "Sequences near their end",
    severity: High,
    rule: "a sequence has used more than 75 % of its range",
    why: "each change of authority skips some values, and at the end inserts fail",
    mitigation: "give the column and its sequence a larger type before the move",
    owner: Owner::Application,
    judge: nearly_used,
};

fn nearly_used(inventory: &Inventory) -> Verdict {
    sequences(inventory, |sequence, verdict| {
        let Some(permille) = sequence.used_permille else {
            let name = &sequence.name;
            return verdict.cannot_tell(format!("source: {name} may not be read by our role"));
        };
        if permille > NEARLY_PERMILLE {
            let (name, kind) = (&sequence.name, &sequence.type_name);
            let used = format!("{}.{} %", permille / 10, permille % 10);
            let found = verdict.fires(Side::Source, format!("{name} ({kind}) has used {used}"));
            if kind != "bigint" {
                found.mended_by(format!("ALTER SEQUENCE {} AS bigint;", name.quoted()));
            }
        }
    })
}

pub(super) const UNCARRIED: Check = Check {
    id: "R17-sequences-left-behind",
    title: "Sequences that cannot be carried over",
    severity: High,
    rule: "a sequence cannot be read or set by our role, starts over at its end, or stays behind \
           although a moved table takes its values",
    why: "sequences are not in the change stream; they are set with a margin at the switch",
    mitigation: "grant what is named, include the sequence, or set it by hand at the switch",
    owner: Owner::Database,
    judge: uncarried,
};

fn uncarried(inventory: &Inventory) -> Verdict {
    sequences(inventory, |sequence, verdict| {
        if let Some(why) = &sequence.uncarried {
            verdict.fires(Side::Source, format!("{}: {why}", sequence.name));
        }
    })
}

fn sequences(inventory: &Inventory, judge: impl Fn(&Sequence, &mut Verdict)) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let sequences = verdict.known("source: its sequences", &database.sequences);
        for sequence in sequences.into_iter().flatten() {
            judge(sequence, verdict);
        }
    })
}
