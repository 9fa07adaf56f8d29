//! Which types can get the numbers they have on the source, and in which order: pure.
//!
//! Every server gives numbers from one counter, which only grows until it begins again at 16384
//! after 2³². A creation takes its numbers one after another, so each of its types lies at a fixed
//! offset from where the counter stands when it begins.

use std::collections::BTreeSet;

use super::facts::{Creation, Kind, Need, Number};

/// The first number that a counter gives.
const FIRST: u64 = 16384;

/// How many numbers there are.
const ROUND: u64 = (1 << 32) - FIRST;

/// How far the counter must go from `next` until it gives `wanted`.
#[must_use]
pub fn distance(next: u32, wanted: u32) -> u64 {
    let (next, wanted) = (u64::from(next).max(FIRST), u64::from(wanted).max(FIRST));
    (wanted + ROUND - next) % ROUND
}

/// Where each number of a creation lies behind the counter's value at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// In the order of [`Creation::numbers`]; `None` for a type that it does not make there.
    pub offsets: Vec<Option<u32>>,
    /// How many numbers it uses up.
    pub span: u64,
}

impl Shape {
    /// As the creation went on its own side: right if the same program ran there.
    #[must_use]
    pub fn of(creation: &Creation) -> Shape {
        let offset = |number: &Number| Some(number.oid.wrapping_sub(creation.first));
        let span = u64::from(creation.last.saturating_sub(creation.first)) + 1;
        Shape { offsets: creation.numbers.iter().map(offset).collect(), span }
    }
}

/// What is asked of the planning besides the creations.
#[derive(Clone, Debug)]
pub struct Conditions<'a> {
    /// The number that the target gives next.
    pub next: u32,
    /// How many numbers may be used up in all.
    pub budget: u64,
    /// The numbers that the target's types have already.
    pub taken: &'a BTreeSet<u32>,
    /// Creations, by catalogue and number on the source, that are on the target already.
    pub there: &'a BTreeSet<(u32, u32)>,
}

/// A creation and where the counter must stand when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its index among the creations.
    pub creation: usize,
    /// The first number that it is to get.
    pub start: u32,
    /// How many numbers lie between what comes before it and that.
    pub gap: u64,
}

/// Types that will have other numbers, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The types.
    pub numbers: Vec<Number>,
    /// Why, in words.
    pub why: String,
}

/// What can be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placing {
    /// In this order.
    pub placements: Vec<Placement>,
    /// How many of the source's numbers that makes.
    pub placed: usize,
    /// What cannot.
    pub missed: Vec<Missed>,
    /// How many numbers are used up in between.
    pub burnt: u64,
}

/// Plans. `shapes` has one for each creation.
#[must_use]
pub fn plan(creations: &[Creation], shapes: &[Shape], conditions: &Conditions<'_>) -> Placing {
    let mut placing = Placing::default();
    let mut done: BTreeSet<(u32, u32)> = conditions.there.clone();
    let mut wanted: Vec<(u64, usize, u32)> = Vec::new();
    for (index, (creation, shape)) in creations.iter().zip(shapes).enumerate() {
        if conditions.there.contains(&(creation.catalog_oid, creation.oid)) {
            continue;
        }
        match start(creation, shape) {
            Some(start) => wanted.push((distance(conditions.next, start), index, start)),
            None => placing.miss(&creation.numbers, "the target's version does not make them"),
        }
    }
    wanted.sort_unstable();
    let mut at = 0;
    for (distance, index, start) in wanted {
        let (creation, shape) = (&creations[index], &shapes[index]);
        let why = obstacle(creation, &done, creations)
            .or_else(|| short(distance, start, at, conditions))
            .or_else(|| taken(creation, shape, start, conditions.taken));
        if let Some(why) = why {
            placing.miss(&creation.numbers, why);
            continue;
        }
        let (fit, other) = split(creation, shape, start);
        placing.placed += fit.len();
        if !other.is_empty() {
            placing.miss(&other, format!("{creation} numbers them otherwise on the target"));
        }
        placing.placements.push(Placement { creation: index, start, gap: distance - at });
        placing.burnt += distance - at;
        at = distance + shape.span;
        done.insert((creation.catalog_oid, creation.oid));
    }
    placing
}

impl Placing {
    fn miss(&mut self, numbers: &[Number], why: impl Into<String>) {
        self.missed.push(Missed { numbers: numbers.to_vec(), why: why.into() });
    }
}

/// Where most of the creation's types say that it must begin; of equals, the one that the type
/// itself, which drivers ask for first, says.
fn start(creation: &Creation, shape: &Shape) -> Option<u32> {
    let starts = || {
        creation.numbers.iter().zip(&shape.offsets).filter_map(|(number, offset)| {
            Some((number.oid.checked_sub((*offset)?)?, number.oid == creation.oid))
        })
    };
    starts()
        .map(|(start, _)| {
            let votes = starts().filter(|(other, _)| *other == start).count();
            let own = starts().any(|(other, own)| other == start && own);
            (votes, own, std::cmp::Reverse(start))
        })
        .max()
        .map(|(_, _, std::cmp::Reverse(start))| start)
}

/// The numbers that a creation which begins at `start` gets right, and the others.
pub(super) fn split(creation: &Creation, shape: &Shape, start: u32) -> (Vec<Number>, Vec<Number>) {
    let right = |number: &Number, offset: &Option<u32>| {
        offset.and_then(|offset| start.checked_add(offset)) == Some(number.oid)
    };
    let (mut fit, mut other) = (Vec::new(), Vec::new());
    for (number, offset) in creation.numbers.iter().zip(&shape.offsets) {
        if right(number, offset) { &mut fit } else { &mut other }.push(number.clone());
    }
    (fit, other)
}

/// What the creation rests on that is not there by then.
fn obstacle(
    creation: &Creation,
    done: &BTreeSet<(u32, u32)>,
    creations: &[Creation],
) -> Option<String> {
    if creation.kind == Kind::Base {
        return Some("a base type needs functions, which are restored later".to_owned());
    }
    creation.needs.iter().find_map(|need| match need {
        Need::Later(what) => Some(format!("{creation} rests on {what}, which is restored later")),
        Need::Creation(catalog, oid) if !done.contains(&(*catalog, *oid)) => {
            let is = |c: &&Creation| (c.catalog_oid, c.oid) == (*catalog, *oid);
            let name = creations.iter().find(is).map_or("something else".to_owned(), |c| {
                format!("{c}, which has a higher number or cannot be placed itself")
            });
            Some(format!("{creation} rests on {name}"))
        }
        Need::Creation(..) => None,
    })
}

/// Whether the counter is past it, or too far from it.
fn short(distance: u64, start: u32, at: u64, conditions: &Conditions<'_>) -> Option<String> {
    let next = conditions.next;
    if distance < at {
        return Some(format!("number {start} is used up by what is created before"));
    }
    if distance <= conditions.budget {
        return None;
    }
    Some(match start < next {
        true => format!(
            "the target's counter is at {next}, past {start}; it would have to go once around, \
             {distance} numbers, more than the budget of {}",
            conditions.budget
        ),
        false => format!(
            "the target's counter is at {next}, {distance} numbers before {start}, more than the \
             budget of {}",
            conditions.budget
        ),
    })
}

fn taken(creation: &Creation, shape: &Shape, start: u32, taken: &BTreeSet<u32>) -> Option<String> {
    let (fit, _) = split(creation, shape, start);
    let by = fit.iter().find(|number| taken.contains(&number.oid))?;
    Some(format!("another type of the target has number {}", by.oid))
}

#[cfg(test)]
mod tests;
