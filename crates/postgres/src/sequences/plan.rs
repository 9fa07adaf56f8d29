//! How far each sequence of the side that takes over must stand. Pure.

use std::collections::BTreeMap;

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
    /// How many numbers are set aside so.
    #[serde(default)]
    pub margin: u64,
}

/// Of the numbers that a sequence has left, so much at most is set aside: the same must be possible
/// on the way back, and again.
const SHARE: u64 = 4;

/// How many numbers are set aside of a sequence that has `left`, where `wanted` are asked for.
#[must_use]
pub fn margin_of(left: u64, wanted: u64) -> u64 {
    wanted.min(left / SHARE)
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
}

/// Plans every sequence: behind the further of both sides by `margin` numbers, or by as many as
/// [`margin_of`] leaves, keeping the step's residue (an application may count odd on one site and
/// even on the other).
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
    let to: BTreeMap<&TableName, &SequenceValue> = to.iter().map(|it| (&it.name, it)).collect();
    for here in from {
        let outcome = match to.get(&here.name) {
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
    let left = room - ahead + 1;
    if left <= 0 && !here.cycle {
        // Used up. It is so on both sides.
        let further = if ahead > 0 { there } else { here };
        let value = further.last_value.clamp(there.min, there.max);
        return Ok(Raise { name, value, is_called: true, old_side_until: None, margin: 0 });
    }
    let margin_here = margin_of(u64::try_from(left).unwrap_or(u64::MAX), margin);
    if here.cycle && (left <= 0 || margin_here < margin) {
        let value = number(here, ahead.min(room.max(0)));
        return Ok(Raise { name, value, is_called: false, old_side_until: None, margin: 0 });
    }
    let wanted = ahead + i128::from(margin_here);
    Ok(Raise {
        name,
        value: number(here, wanted),
        is_called: false,
        old_side_until: Some(number(here, wanted - 1)),
        margin: margin_here,
    })
}

/// The number that lies so many steps behind the next one. What is asked for lies between the
/// sequence's bounds, or one step before them.
fn number(here: &SequenceValue, steps: i128) -> i64 {
    let number = next(here) + steps * i128::from(here.increment);
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
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

    /// `nextval`; nothing at the end.
    fn take(side: &mut SequenceValue) -> Option<i64> {
        let number = i64::try_from(next(side)).unwrap();
        if !(side.min..=side.max).contains(&number) {
            return None;
        }
        (side.last_value, side.is_called) = (number, true);
        Some(number)
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
    fn a_sequence_near_its_end_sets_aside_what_it_can() {
        let near = sequence(933, true, 1);
        let raise = single(&near, &sequence(1, false, 1), 10_000).unwrap();
        assert_eq!((raise.value, raise.old_side_until, raise.margin), (950, Some(949), 16));
        // Three numbers left: all go to the side that takes over, and the old one's next is seen.
        let raise = single(&sequence(997, true, 1), &sequence(1, false, 1), 10_000).unwrap();
        assert_eq!((raise.value, raise.old_side_until, raise.margin), (998, Some(997), 0));
        assert!(raise.overrun_by(&sequence(998, true, 1)));
        let raise = single(&sequence(1000, true, 1), &sequence(1, false, 1), 100).unwrap();
        assert_eq!((raise.value, raise.is_called), (1000, true));
        // The other side has used them up, or ends earlier.
        let raise = single(&sequence(5, true, 1), &sequence(1000, true, 1), 100).unwrap();
        assert_eq!((raise.value, raise.is_called), (1000, true));
        let short = SequenceValue { max: 500, ..sequence(1, false, 1) };
        let raise = single(&sequence(600, true, 1), &short, 100).unwrap();
        assert_eq!((raise.value, raise.is_called), (500, true));
    }

    #[test]
    fn a_cycle_without_room_has_no_margin() {
        let near = sequence(995, true, 1);
        let cycling = SequenceValue { cycle: true, ..near };
        let raise = single(&cycling, &sequence(1, false, 1), 100).unwrap();
        assert_eq!((raise.value, raise.old_side_until), (996, None));
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
                        >= i128::from(raise.margin) * i128::from(increment.abs()));
                    prop_assert!((-1000..=1000).contains(&raise.value));
                    prop_assert!(raise.margin <= margin);
                }
            }
        }

        /// Whatever is handed out on either side after each move, no number comes twice as long as
        /// both keep to their ranges; and no move is ever refused for want of room.
        #[test]
        fn there_and_back_and_there_again(
            start in -1000i64..1001, increment in prop_oneof![-7i64..0, 1i64..8], margin in 0u64..300,
            taken in proptest::collection::vec((0u64..40, 0u64..40), 1..6),
        ) {
            let mut sides = [sequence(start, false, increment), sequence(start, false, increment)];
            let mut seen = std::collections::BTreeSet::new();
            for (at, (by_new, by_old)) in taken.into_iter().enumerate() {
                let (from, to) = (at % 2, (at + 1) % 2);
                let raise = one(&sides[from], &sides[to], margin).unwrap();
                sides[to].last_value = raise.value;
                sides[to].is_called = raise.is_called;
                for _ in 0..by_new {
                    if let Some(number) = take(&mut sides[to]) {
                        prop_assert!(seen.insert(number), "{number} came twice");
                    }
                }
                for _ in 0..by_old.min(raise.margin) {
                    if let Some(number) = take(&mut sides[from]) {
                        prop_assert!(seen.insert(number), "{number} came twice");
                        prop_assert!(!raise.overrun_by(&sides[from]));
                    }
                }
            }
        }
    }
}
