//! Type numbers: user-defined types have other numbers on the other side, and the clients' drivers
//! remember the ones they saw for the life of their process.
//!
//! The gate shows one set of numbers to all its sessions: those of the side that clients knew
//! before the first move, as far as a type of the same schema and name is on both sides. Where the
//! numbers of the server in use are others, each session translates, in both directions: types in
//! descriptions and in Parse, numbers inside binary arrays and rows, and numbers that are data:
//! columns of the catalogue in results, parameters that are compared with such. Where all numbers
//! agree nothing is looked at.
//!
//! Reading order: [`permutation`] (which number stands for which), [`shapes`] (numbers inside
//! values), [`rows`] and [`parameters`] (messages), [`scan`] (what a statement's text tells),
//! [`catalogue`] (one side's types), [`shown`] (what is kept), [`keep`] (the task that keeps it).
//! The session's part is in `session/translating.rs`.
//!
//! Numbers written out in a statement's text, and those a function computes or that became text or
//! another number (`oid::int8`), are not translated; nor are those in COPY's binary format.

mod catalogue;
mod keep;
mod parameters;
mod permutation;
mod rows;
mod scan;
mod shapes;
mod shown;
mod words;

use std::sync::Arc;

pub(crate) use catalogue::Types;
pub use keep::keep_numbers;
pub(crate) use keep::{Published, numbers_for};
pub(crate) use parameters::{Bind, Refused, parse, sent_as};
use permutation::Permutation;
pub(crate) use rows::{Column, RowPlan, columns};
pub(crate) use scan::{Meaning, Role};
use shapes::Shape;
pub(crate) use shapes::carries;

/// User-defined types have numbers from here on.
pub(crate) const FIRST_USER_TYPE: u32 = 16_384;

const OID: u32 = 26;
const REGTYPE: u32 = 2206;

/// What a session on a server with other numbers translates by.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) map: Arc<Permutation>,
    pub(crate) types: Arc<Types>,
}

impl Numbers {
    /// Whether nothing is known of this type.
    pub(crate) fn is_strange(&self, oid: u32) -> bool {
        oid >= FIRST_USER_TYPE && !self.types.shapes.contains_key(&oid)
    }

    /// With the server's types as they are now; those that are not even there (dropped in this
    /// moment) are taken for plain.
    pub(crate) fn learn(&mut self, types: Arc<Types>, strange: &[u32]) {
        self.types = types;
        for oid in strange {
            if self.is_strange(*oid) {
                Arc::make_mut(&mut self.types).add(*oid, None, Shape::Plain);
            }
        }
    }

    /// Types in a message, in place, for the client.
    pub(crate) fn show(&self, place: &mut [u8]) {
        if let Some(place) = place.first_chunk_mut::<4>() {
            *place = self.map.client(u32::from_be_bytes(*place)).to_be_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::catalogue::Holds;
    use super::*;

    /// mood and its array, which clients know as 16500 and 16501, and a type that agrees.
    pub(super) fn numbers() -> Numbers {
        let mut types = Types::default();
        let name = |name: &str| Some(("public".to_owned(), name.to_owned()));
        types.add(117_000, name("mood"), Shape::Plain);
        types.add(117_001, name("_mood"), Shape::Array(117_000));
        types.add(117_003, name("same"), Shape::Plain);
        types.add(16_500, name("own"), Shape::Plain);
        types.add_column(1247, 1, Holds::Type);
        let map = Permutation::of([(117_000, 16_500), (117_001, 16_501), (117_003, 117_003)]);
        Numbers { map: Arc::new(map), types: Arc::new(types) }
    }

    #[test]
    fn a_type_made_since_is_learnt() {
        let mut numbers = numbers();
        assert!(numbers.is_strange(118_000) && !numbers.is_strange(25));
        let types = Arc::clone(&numbers.types);
        numbers.learn(types, &[118_000]);
        assert!(!numbers.is_strange(118_000));
    }
}
