//! Where type numbers lie within binary values.

use std::collections::BTreeMap;

use super::permutation::Permutation;
use super::{FIRST_USER_TYPE, OID, REGTYPE};

/// How deep values are looked into.
const MAX_DEPTH: usize = 32;

/// What a type's binary values are made of; numbers are the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No numbers inside.
    Plain,
    /// An array; its header names the elements' type.
    Array(u32),
    /// A row; each field is preceded by its type.
    Row,
    /// Like its base type.
    Domain(u32),
    /// Bounds of this type.
    Range(u32),
    /// Ranges of this type.
    Multirange(u32),
}

/// A server's user types, by its numbers.
pub(crate) type Shapes = BTreeMap<u32, Shape>;

/// The shape of a type; `None` for a user type that is not known.
pub(crate) fn shape(shapes: &Shapes, oid: u32) -> Option<Shape> {
    Some(match oid {
        // oidvector, oid[], regtype[], oidvector[]
        30 | 1028 => Shape::Array(OID),
        2211 => Shape::Array(REGTYPE),
        1013 => Shape::Array(30),
        // anyarray (of pg_stats) and record[]
        2277 | 2287 => Shape::Array(2249),
        // record
        2249 => Shape::Row,
        _ if oid < FIRST_USER_TYPE => Shape::Plain,
        _ => return shapes.get(&oid).copied(),
    })
}

/// Whether binary values of the type have numbers of types inside, whatever column they are of.
pub(crate) fn carries(shapes: &Shapes, oid: u32) -> bool {
    fn within(shapes: &Shapes, oid: u32, depth: usize) -> bool {
        let deeper = |inner| depth < MAX_DEPTH && within(shapes, inner, depth + 1);
        match shape(shapes, oid) {
            None | Some(Shape::Plain) => oid == REGTYPE,
            Some(Shape::Array(element)) => element >= FIRST_USER_TYPE || deeper(element),
            Some(Shape::Row) => true,
            Some(Shape::Domain(inner) | Shape::Range(inner) | Shape::Multirange(inner)) => {
                deeper(inner)
            }
        }
    }
    within(shapes, oid, 0)
}

/// A value that is not what its type says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The two directions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Toward<'a> {
    /// From the server's numbers to the clients'.
    Client(&'a Permutation),
    /// The other way.
    Server(&'a Permutation),
}

impl Toward<'_> {
    pub(crate) fn translate(self, number: u32) -> u32 {
        match self {
            Toward::Client(map) => map.client(number),
            Toward::Server(map) => map.server(number),
        }
    }

    /// The server's number for one that stands in the value.
    fn native(self, number: u32) -> u32 {
        match self {
            Toward::Client(_) => number,
            Toward::Server(map) => map.server(number),
        }
    }
}

/// Translates the numbers inside a binary value, in place. Values of type oid are looked at with
/// `oid`, which gives the number to put in their stead.
pub(crate) fn patch(
    shapes: &Shapes,
    toward: Toward<'_>,
    oid: &dyn Fn(u32) -> u32,
    kind: u32,
    value: &mut [u8],
) -> Result<(), Malformed> {
    Walk { shapes, toward, oid }.value(kind, value, 0)
}

struct Walk<'a> {
    shapes: &'a Shapes,
    toward: Toward<'a>,
    oid: &'a dyn Fn(u32) -> u32,
}

impl Walk<'_> {
    fn value(&self, kind: u32, value: &mut [u8], depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        match kind {
            OID => return replace(value, self.oid),
            REGTYPE => return replace(value, |number| self.toward.translate(number)),
            _ => {}
        }
        let mut rest = value;
        match shape(self.shapes, kind).unwrap_or(Shape::Plain) {
            Shape::Plain => Ok(()),
            Shape::Domain(base) => self.value(base, rest, depth + 1),
            Shape::Array(_) => {
                let dimensions = number(&mut rest)?;
                number(&mut rest)?;
                let element = self.number(&mut rest)?;
                for _ in 0..dimensions {
                    take(&mut rest, 8)?;
                }
                while !rest.is_empty() {
                    self.part(element, &mut rest, depth)?;
                }
                Ok(())
            }
            Shape::Row => {
                for _ in 0..number(&mut rest)? {
                    let field = self.number(&mut rest)?;
                    self.part(field, &mut rest, depth)?;
                }
                Ok(())
            }
            Shape::Range(bound) => {
                let flags = take(&mut rest, 1)?[0];
                // Empty; the lower or the upper bound infinite or null.
                let bounds = match flags & 1 {
                    1 => 0,
                    _ => usize::from(flags & 0x28 == 0) + usize::from(flags & 0x50 == 0),
                };
                (0..bounds).try_for_each(|_| self.part(bound, &mut rest, depth))
            }
            Shape::Multirange(range) => {
                for _ in 0..number(&mut rest)? {
                    self.part(range, &mut rest, depth)?;
                }
                Ok(())
            }
        }
    }

    /// A length and so many bytes of this type.
    fn part(&self, kind: u32, rest: &mut &mut [u8], depth: usize) -> Result<(), Malformed> {
        match usize::try_from(number(rest)?.cast_signed()) {
            Ok(length) => self.value(kind, take(rest, length)?, depth + 1),
            // A null.
            Err(_) => Ok(()),
        }
    }

    /// The number of a type, translated where it stands; gives the server's.
    fn number(&self, rest: &mut &mut [u8]) -> Result<u32, Malformed> {
        let place = take(rest, 4)?.first_chunk_mut::<4>().ok_or(Malformed)?;
        let there = u32::from_be_bytes(*place);
        *place = self.toward.translate(there).to_be_bytes();
        Ok(self.toward.native(there))
    }
}

fn replace(value: &mut [u8], with: impl Fn(u32) -> u32) -> Result<(), Malformed> {
    let place: &mut [u8; 4] = value.try_into().map_err(|_| Malformed)?;
    *place = with(u32::from_be_bytes(*place)).to_be_bytes();
    Ok(())
}

fn take<'a>(rest: &mut &'a mut [u8], length: usize) -> Result<&'a mut [u8], Malformed> {
    rest.split_off_mut(..length).ok_or(Malformed)
}

fn number(rest: &mut &mut [u8]) -> Result<u32, Malformed> {
    let four = take(rest, 4)?.first_chunk::<4>().ok_or(Malformed)?;
    Ok(u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// mood, its array, a row with both, a range over the row, and the row's domain.
    fn shapes() -> Shapes {
        Shapes::from([
            (17_000, Shape::Plain),
            (17_001, Shape::Array(17_000)),
            (17_002, Shape::Row),
            (17_003, Shape::Range(17_002)),
            (17_004, Shape::Multirange(17_003)),
            (17_005, Shape::Domain(17_002)),
            (17_006, Shape::Range(701)),
        ])
    }

    fn part(bytes: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        out.extend(bytes);
        out
    }

    fn words(list: &[u32]) -> Vec<u8> {
        list.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn array(element: u32) -> Vec<u8> {
        let mut out = words(&[1, 1, element, 2, 1]);
        out.extend(part(b"sad"));
        out.extend(words(&[u32::MAX]));
        out
    }

    fn row(mood: u32, moods: u32, oid: u32) -> Vec<u8> {
        let mut out = words(&[4, mood]);
        out.extend(part(b"sad"));
        out.extend(words(&[moods]));
        out.extend(part(&array(mood)));
        out.extend(words(&[OID]));
        out.extend(part(&words(&[oid])));
        out.extend(words(&[23, u32::MAX]));
        out
    }

    fn range(value: &[u8]) -> Vec<u8> {
        let mut out = vec![0x12];
        out.extend(part(value));
        out
    }

    fn multirange(value: &[u8]) -> Vec<u8> {
        let mut out = words(&[1]);
        out.extend(part(&range(value)));
        out
    }

    #[test]
    fn numbers_inside_values_are_found_at_any_depth() {
        let map = Permutation::of([(17_000, 16_500), (17_001, 16_501)]);
        let shapes = shapes();
        let cases: [(u32, Vec<u8>, Vec<u8>); 5] = [
            (17_001, array(17_000), array(16_500)),
            (17_002, row(17_000, 17_001, 9), row(16_500, 16_501, 9)),
            (17_005, row(17_000, 17_001, 9), row(16_500, 16_501, 9)),
            (17_004, multirange(&row(17_000, 17_001, 9)), multirange(&row(16_500, 16_501, 9))),
            (2249, row(17_000, 17_001, 17_000), row(16_500, 16_501, 17_000)),
        ];
        for (kind, there, here) in cases {
            let mut value = there.clone();
            assert!(carries(&shapes, kind), "{kind}");
            patch(&shapes, Toward::Client(&map), &|n| n, kind, &mut value).unwrap();
            assert_eq!(value, here, "{kind}");
            patch(&shapes, Toward::Server(&map), &|n| n, kind, &mut value).unwrap();
            assert_eq!(value, there, "{kind}");
        }
        let mut oids = words(&[1, 0, 26, 2, 1]);
        oids.extend([part(&words(&[17_000])), part(&words(&[5]))].concat());
        patch(&shapes, Toward::Client(&map), &|n| map.client(n), 1028, &mut oids).unwrap();
        assert_eq!(oids[24..28], words(&[16_500]));
        for kind in [17_000, 17_006, 25, 1007, 1028] {
            assert!(!carries(&shapes, kind), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(
            kind in prop::sample::select(vec![26, 30, 1028, 2249, 2287, 17_001, 17_002, 17_004, 17_005]),
            mut value in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let map = Permutation::of([(17_000, 16_500)]);
            patch(&shapes(), Toward::Client(&map), &|n| n, kind, &mut value).ok();
        }
    }
}
