//! What a client sends: the types in a Parse, and the values in a Bind.

use std::borrow::Cow;

use super::rows::{cell, format_of, numbers_in_text, put};
use super::scan::{Meaning, Role};
use super::shapes::{Toward, carries, patch};
use super::{Numbers, OID, REGTYPE};

const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const OIDS: u32 = 1028;
const INT2S: u32 = 1005;
const INT4S: u32 = 1007;
const INT8S: u32 = 1016;

/// A value that cannot be sent on: what stands in the way, for the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

/// The parameter types at the end of a Parse message's body, made the server's. A parameter that
/// is compared with a type number becomes an oid where its own type is too small for one.
pub(crate) fn parse(
    numbers: &Numbers,
    meaning: Option<&Meaning>,
    body: &mut [u8],
    types_at: usize,
) {
    let Some(types) = body.get_mut(types_at..) else { return };
    for (place, at) in types.as_chunks_mut::<4>().0.iter_mut().zip(1..) {
        let declared = u32::from_be_bytes(*place);
        let role = meaning.map_or(Role::Other, |meaning| meaning.role(at));
        *place = sent_as(numbers, role, declared).to_be_bytes();
    }
}

/// The server's number of the type that a parameter is sent as.
pub(crate) fn sent_as(numbers: &Numbers, role: Role, declared: u32) -> u32 {
    match (role, declared) {
        (Role::Type, INT2) => OID,
        (Role::Type, INT2S) => OIDS,
        _ => numbers.map.server(declared),
    }
}

/// A Bind's body, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind<'a> {
    pub(crate) portal: &'a [u8],
    pub(crate) statement: &'a [u8],
    formats: Vec<i16>,
    values: Vec<Option<&'a [u8]>>,
    pub(crate) results: Vec<i16>,
}

fn name(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = rest.iter().position(|b| *b == 0)?;
    Some((&rest[..end], &rest[end + 1..]))
}

fn count(rest: &[u8]) -> Option<(usize, &[u8])> {
    let (two, rest) = rest.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_be_bytes(*two)), rest))
}

fn formats(rest: &[u8]) -> Option<(Vec<i16>, &[u8])> {
    let (count, rest) = count(rest)?;
    let (codes, rest) = rest.split_at_checked(2 * count)?;
    Some((codes.as_chunks().0.iter().map(|code| i16::from_be_bytes(*code)).collect(), rest))
}

impl<'a> Bind<'a> {
    /// The names of the portal and the statement, as far as the beginning of the body tells.
    pub(crate) fn names(beginning: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let (portal, rest) = name(beginning)?;
        Some((portal, name(rest)?.0))
    }

    /// `None` if it is malformed: the server will say so.
    pub(crate) fn of(body: &'a [u8]) -> Option<Bind<'a>> {
        let (portal, rest) = name(body)?;
        let (statement, rest) = name(rest)?;
        let (formats, rest) = self::formats(rest)?;
        let (count, mut rest) = count(rest)?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let (value, after) = cell(rest).ok()??;
            values.push(value);
            rest = after;
        }
        let (results, _) = self::formats(rest)?;
        Some(Bind { portal, statement, formats, values, results })
    }

    /// The values that are not null.
    pub(crate) fn values(&self) -> impl Iterator<Item = &'a [u8]> {
        self.values.iter().copied().flatten()
    }

    /// The body with the server's numbers in its values; `None` if it is right as it is. `types`
    /// are the parameters' types in the server's numbers, 0 where not known.
    pub(crate) fn translated(
        &self,
        numbers: &Numbers,
        meaning: Option<&Meaning>,
        declared: &[u32],
        types: &[u32],
    ) -> Result<Option<Vec<u8>>, Refused> {
        let mut changed = false;
        let mut values = Vec::with_capacity(self.values.len());
        for (at, value) in self.values.iter().enumerate() {
            let parameter = Parameter {
                number: u16::try_from(at + 1).unwrap_or(u16::MAX),
                role: meaning.map_or(Role::Other, |m| m.role(u16::try_from(at + 1).unwrap_or(0))),
                declared: declared.get(at).copied().unwrap_or(0),
                kind: types.get(at).copied().unwrap_or(0),
                binary: format_of(&self.formats, at) == 1,
            };
            let new = match value {
                Some(value) => Some(parameter.value(numbers, value)?),
                None => None,
            };
            changed |= new.as_deref() != *value;
            values.push(new);
        }
        if !changed {
            return Ok(None);
        }
        let mut out = Vec::new();
        for part in [self.portal, self.statement] {
            out.extend_from_slice(part);
            out.push(0);
        }
        put_formats(&mut out, &self.formats);
        put_count(&mut out, values.len());
        for value in &values {
            put(&mut out, value.as_deref());
        }
        put_formats(&mut out, &self.results);
        Ok(Some(out))
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // It was read from two bytes.
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn put_formats(out: &mut Vec<u8>, formats: &[i16]) {
    put_count(out, formats.len());
    formats.iter().for_each(|code| out.extend_from_slice(&code.to_be_bytes()));
}

struct Parameter {
    number: u16,
    role: Role,
    /// The type the client declared; 0 if none.
    declared: u32,
    /// The type the server knows it by; 0 if not known.
    kind: u32,
    binary: bool,
}

impl Parameter {
    fn value<'a>(&self, numbers: &Numbers, value: &'a [u8]) -> Result<Cow<'a, [u8]>, Refused> {
        let to_server = |number| numbers.map.server(number);
        if self.role == Role::Type || matches!(self.kind, REGTYPE | 2211) {
            return match self.binary {
                true => self.number(numbers, value),
                false if is_numbers(value) => Ok(numbers_in_text(value, to_server)),
                false => Ok(Cow::Borrowed(value)),
            };
        }
        let of_numbers = matches!(self.kind, 0 | OID | OIDS | 30);
        if self.role == Role::Unknown && of_numbers && self.may_be_meant(numbers, value) {
            return Err(Refused(format!(
                "the gate shows this server's types under the numbers of the other one, and cannot \
                 tell whether parameter ${} is a type number; compare it with a column of a table \
                 of the catalogue, as in `pg_type.oid = ${}`",
                self.number, self.number
            )));
        }
        if self.binary && carries(&numbers.types.shapes, self.kind) {
            return Ok(self.patched(numbers, self.kind, value));
        }
        Ok(Cow::Borrowed(value))
    }

    /// A malformed value is left as it is: the server says what is wrong with it.
    fn patched<'a>(&self, numbers: &Numbers, kind: u32, value: &'a [u8]) -> Cow<'a, [u8]> {
        let mut new = value.to_vec();
        let toward = Toward::Server(&numbers.map);
        match patch(
            &numbers.types.shapes,
            toward,
            &|number| self.oid(numbers, number),
            kind,
            &mut new,
        ) {
            Ok(()) => Cow::Owned(new),
            Err(_) => Cow::Borrowed(value),
        }
    }

    fn oid(&self, numbers: &Numbers, number: u32) -> u32 {
        if self.role == Role::Type { numbers.map.server(number) } else { number }
    }

    /// A type number, or an array of such, in binary.
    fn number<'a>(&self, numbers: &Numbers, value: &'a [u8]) -> Result<Cow<'a, [u8]>, Refused> {
        let declared = if self.declared == 0 { self.kind } else { self.declared };
        let map = |number| numbers.map.server(number);
        Ok(match (declared, value) {
            (INT2, &[a, b]) => {
                let number = i16::from_be_bytes([a, b]);
                Cow::Owned(map(i32::from(number).cast_unsigned()).to_be_bytes().to_vec())
            }
            (INT8, value) if value.len() == 8 => {
                let number = value.first_chunk().map(|eight| u64::from_be_bytes(*eight));
                match number.and_then(|number| u32::try_from(number).ok()) {
                    Some(number) => Cow::Owned(u64::from(map(number)).to_be_bytes().to_vec()),
                    None => Cow::Borrowed(value),
                }
            }
            (INT2S | INT4S | INT8S, value) => match integers(value) {
                Some((element, list)) => Cow::Owned(array(element, &list, map)),
                None => Cow::Borrowed(value),
            },
            (0 | OID | REGTYPE | INT4, &[a, b, c, d]) => {
                Cow::Owned(map(u32::from_be_bytes([a, b, c, d])).to_be_bytes().to_vec())
            }
            (kind, _) => {
                let kind = if kind == 0 { OIDS } else { kind };
                self.patched(numbers, kind, value)
            }
        })
    }

    /// Whether the value is, or has in it, a number that clients know as a type's and that the
    /// server means otherwise.
    fn may_be_meant(&self, numbers: &Numbers, value: &[u8]) -> bool {
        let differs = |number: u32| {
            let there = numbers.map.server(number);
            there != number && numbers.types.shapes.contains_key(&there)
        };
        let found = std::cell::Cell::new(false);
        let look = |number| {
            found.set(found.get() | differs(number));
            number
        };
        if !self.binary {
            if is_numbers(value) {
                numbers_in_text(value, look);
            }
        } else if let &[a, b, c, d] = value {
            look(u32::from_be_bytes([a, b, c, d]));
        } else if matches!(self.kind, OIDS | 30) {
            let toward = Toward::Server(&numbers.map);
            patch(&numbers.types.shapes, toward, &look, self.kind, &mut value.to_vec()).ok();
        }
        found.get()
    }
}

/// A text that is a number, an array of numbers or a vector.
fn is_numbers(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
        && text.iter().all(|b| b.is_ascii_digit() || b"{}[]:=, NULnul".contains(b))
}

/// The elements of a flat binary array of integers, and the type they are sent as; `None` if it is
/// anything else.
fn integers(value: &[u8]) -> Option<(u32, Vec<Option<u32>>)> {
    let (header, mut rest) = value.split_first_chunk::<12>()?;
    let word = |at: usize| Some(u32::from_be_bytes(*header.get(at..)?.first_chunk()?));
    let (size, sent_as) = match word(8)? {
        INT2 => (2, OID),
        INT4 => (4, INT4),
        INT8 => (8, INT8),
        _ => return None,
    };
    match word(0)? {
        0 => return Some((sent_as, Vec::new())),
        1 => rest = rest.get(8..)?,
        _ => return None,
    }
    let mut list = Vec::new();
    while let Some((cell, after)) = cell(rest).ok()? {
        rest = after;
        list.push(match cell {
            None => None,
            Some(cell) if cell.len() == size => {
                let number = cell.iter().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
                Some(u32::try_from(number).ok()?)
            }
            Some(_) => return None,
        });
    }
    Some((sent_as, list))
}

fn array(element: u32, list: &[Option<u32>], map: impl Fn(u32) -> u32) -> Vec<u8> {
    let length = u32::try_from(list.len()).unwrap_or(0);
    let size = if element == INT8 { 8 } else { 4 };
    let nulls = u32::from(list.contains(&None));
    let header = match length {
        0 => vec![0, 0, element],
        _ => vec![1, nulls, element, length, 1],
    };
    let mut out: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    for number in list {
        let number = number.map(|number| u64::from(map(number)).to_be_bytes());
        put(&mut out, number.as_ref().map(|eight| &eight[8 - size..]));
    }
    out
}

#[cfg(test)]
mod tests;
