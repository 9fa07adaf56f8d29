//! How far each sequence of the side that takes over must stand. Pure.

use changeover_types::TableName;
use serde::{Deserialize, Serialize};

use super::SequenceValue;

/// A `setval` to be done on the side that takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// The sequence.
    pub name: TableName,
    /// Its new `last_value`.
    pub value: i64,
    /// Whether that number counts as handed out.
    pub is_called: bool,
    /// The last number that the side which lost authority may still hand out without meeting one
    /// of the other side's; `None` where no range could be set aside.
    pub old_side_until: Option<i64>,
}

impl Raise {
    /// Whether the old side, standing at `now`, has left the range that was set aside for it.
    #[must_use]
    pub fn overrun_by(&self, now: &SequenceValue) -> bool {
        match self.old_side_until {
            Some(until) if now.increment < 0 => now.is_called && now.last_value < until,
            Some(until) => now.is_called && now.last_value > until,
            None => false,
        }
    }
}

/// Why a sequence cannot be carried over safely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceFault {
    /// The other side has no such sequence.
    #[error("sequence {0} does not exist on the side that takes over")]
    Missing(TableName),
    /// The two count differently.
    #[error("sequence {name} steps by {from} on one side and by {to} on the other")]
    Step {
        /// Which.
        name: TableName,
        /// The step where authority is.
        from: i64,
        /// The step where it goes.
        to: i64,
    },
    /// The margin does not fit before the end.
    #[error(
        "sequence {name} has {left} numbers left, fewer than the margin of {margin}: widen it, or lower the margin"
    )]
    NoRoom {
        /// Which.
        name: TableName,
        /// How many numbers are left.
        left: u64,
        /// The margin asked for.
        margin: u64,
    },
}

/// Plans every sequence: behind the further of both sides by `margin` numbers, keeping the step's
/// residue (an application may count odd on one site and even on the other).
///
/// A cycling sequence never promised distinct numbers: without room it is carried over without a
/// margin. A sequence at its end that does not cycle stays at its end: it fails there as it does
/// here.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan(
    from: &[SequenceValue],
    to: &[SequenceValue],
    margin: u64,
) -> Result<Vec<Raise>, Vec<SequenceFault>> {
    let mut raises = Vec::with_capacity(from.len());
    let mut faults = Vec::new();
    for here in from {
        let outcome = match to.iter().find(|there| there.name == here.name) {
            None => Err(SequenceFault::Missing(here.name.clone())),
            Some(there) => one(here, there, margin),
        };
        match outcome {
            Ok(raise) => raises.push(raise),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(raises) } else { Err(faults) }
}

/// The number that the next `nextval` gives, if there is room for it.
fn next(value: &SequenceValue) -> i128 {
    let step = if value.is_called { i128::from(value.increment) } else { 0 };
    i128::from(value.last_value) + step
}

fn one(here: &SequenceValue, there: &SequenceValue, margin: u64) -> Result<Raise, SequenceFault> {
    let name = here.name.clone();
    let step = i128::from(here.increment);
    if here.increment != there.increment {
        return Err(SequenceFault::Step { name, from: here.increment, to: there.increment });
    }
    // Counted in steps from here, so that up and down are one case.
    let ahead = (next(there) - next(here)).checked_div(step).unwrap_or(0).max(0);
    let ahead = if (next(there) - next(here)) * step.signum() > ahead * step.abs() {
        ahead + 1
    } else {
        ahead
    };
    let end = i128::from(if step < 0 { here.min.max(there.min) } else { here.max.min(there.max) });
    let room = ((end - next(here)) * step.signum()).div_euclid(step.abs());
    if room < 0 {
        // Used up. It does so on both sides.
        return Ok(Raise {
            name,
            value: here.last_value,
            is_called: here.is_called,
            old_side_until: None,
        });
    }
    let wanted = ahead + i128::from(margin);
    let at = |steps: i128| i64::try_from(next(here) + steps * step).ok();
    if wanted <= room
        && let Some(value) = at(wanted)
    {
        return Ok(Raise { name, value, is_called: false, old_side_until: at(wanted - 1) });
    }
    if here.cycle
        && let Some(value) = at(ahead.min(room))
    {
        return Ok(Raise { name, value, is_called: false, old_side_until: None });
    }
    let left = u64::try_from(room - ahead + 1).unwrap_or(0);
    Err(SequenceFault::NoRoom { name, left, margin })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sequence(last_value: i64, is_called: bool, increment: i64) -> SequenceValue {
        let name = TableName::new("public", "s");
        SequenceValue {
            name,
            last_value,
            is_called,
            increment,
            min: -1000,
            max: 1000,
            cycle: false,
        }
    }

    fn single(
        here: &SequenceValue,
        there: &SequenceValue,
        margin: u64,
    ) -> Result<Raise, SequenceFault> {
        one(here, there, margin)
    }

    #[test]
    fn the_further_side_counts_and_the_margin_comes_on_top() {
        let raise = single(&sequence(10, true, 1), &sequence(50, true, 1), 100).unwrap();
        assert_eq!((raise.value, raise.is_called, raise.old_side_until), (151, false, Some(150)));
        let raise = single(&sequence(50, true, 1), &sequence(1, false, 1), 0).unwrap();
        assert_eq!((raise.value, raise.is_called), (51, false));
    }

    #[test]
    fn counting_down_is_the_mirror_image() {
        let raise = single(&sequence(-10, true, -1), &sequence(-1, false, -1), 100).unwrap();
        assert_eq!((raise.value, raise.old_side_until), (-111, Some(-110)));
        assert!(raise.overrun_by(&sequence(-111, true, -1)));
        assert!(!raise.overrun_by(&sequence(-110, true, -1)));
    }

    #[test]
    fn the_end_is_refused_unless_it_cycles_or_is_reached() {
        let near = sequence(995, true, 1);
        let refused = single(&near, &sequence(1, false, 1), 100).unwrap_err();
        assert!(matches!(refused, SequenceFault::NoRoom { left: 5, .. }), "{refused}");
        let cycling = SequenceValue { cycle: true, ..near };
        let raise = single(&cycling, &sequence(1, false, 1), 100).unwrap();
        assert_eq!((raise.value, raise.old_side_until), (996, None));
        let raise = single(&sequence(1000, true, 1), &sequence(1, false, 1), 100).unwrap();
        assert_eq!((raise.value, raise.is_called), (1000, true));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let other = SequenceValue { name: TableName::new("public", "t"), ..sequence(1, true, 1) };
        let faults = plan(&[sequence(1, true, 1), other], &[sequence(1, true, 2)], 1).unwrap_err();
        assert_eq!(faults.len(), 2);
    }

    proptest! {
        #[test]
        fn the_ranges_never_meet(
            here in -900i64..900, there in -900i64..900, called: bool, called_there: bool,
            increment in prop_oneof![-7i64..0, 1i64..8], margin in 0u64..300,
        ) {
            let (here, there) = (sequence(here, called, increment), sequence(there, called_there, increment));
            if let Ok(raise) = one(&here, &there, margin) {
                let direction = i128::from(increment.signum());
                if !raise.is_called {
                    let value = i128::from(raise.value) * direction;
                    // Nothing that either side has handed out or hands out next comes again …
                    prop_assert!(value >= next(&here) * direction);
                    prop_assert!(value >= next(&there) * direction);
                    // … with the margin between them, on the same residue, within the bounds.
                    prop_assert!((i128::from(raise.value) - next(&here)) % i128::from(increment) == 0);
                    prop_assert!((i128::from(raise.value) - next(&here)) * direction
                        >= i128::from(margin) * i128::from(increment.abs()));
                    prop_assert!((-1000..=1000).contains(&raise.value));
                }
            }
        }
    }
}
