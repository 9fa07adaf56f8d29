//! Sequences that moved tables need and that do not move.

use changeover_types::Side;

use crate::check::{Check, Owner, Verdict, database};
use crate::finding::Severity::High;
use crate::inventory::Inventory;

pub(super) const UNCARRIED: Check = Check {
    id: "R17-sequences-left-behind",
    title: "Sequences that stay behind",
    severity: High,
    rule: "a sequence stays behind although a moved table takes its values",
    why: "sequences are not in the change stream; they are set with a margin at the switch",
    mitigation: "include the sequence, or set it by hand at the switch",
    owner: Owner::Database,
    judge: uncarried,
};

fn uncarried(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let sequences = verdict.known("source: its sequences", &database.sequences);
        for sequence in sequences.into_iter().flatten() {
            if let Some(why) = &sequence.uncarried {
                verdict.fires(Side::Source, format!("{}: {why}", sequence.name));
            }
        }
    })
}
