//! What a result's rows need: which of their columns hold type numbers, or values with such inside.

use std::borrow::Cow;

use super::catalogue::Holds;
use super::shapes::{Malformed, Toward, carries, patch};
use super::{Numbers, OID, REGTYPE};

/// oid, oid[], oidvector, oidvector[].
const OF_NUMBERS: [u32; 4] = [OID, 1028, 30, 1013];

/// One column of a RowDescription, as the server says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The table it comes from; 0 if none.
    pub(crate) table: u32,
    /// Its number there.
    pub(crate) attribute: i16,
    /// Its type, in the server's numbers.
    pub(crate) kind: u32,
    /// 1 for binary.
    pub(crate) format: i16,
}

/// The columns of a RowDescription's body, with the places of their types; `None` if malformed.
pub(crate) fn columns(body: &[u8]) -> Option<Vec<(usize, Column)>> {
    let count = u16::from_be_bytes(*body.first_chunk()?);
    let mut at = 2;
    let mut found = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        at += body.get(at..)?.iter().position(|b| *b == 0)? + 1;
        // Table (4), attribute (2), type (4), size (2), modifier (4), format (2).
        let fields: &[u8; 18] = body.get(at..)?.first_chunk()?;
        let [a, b, c, d, e, f, g, h, i, j, .., y, z] = *fields;
        let column = Column {
            table: u32::from_be_bytes([a, b, c, d]),
            attribute: i16::from_be_bytes([e, f]),
            kind: u32::from_be_bytes([g, h, i, j]),
            format: i16::from_be_bytes([y, z]),
        };
        found.push((at + 6, column));
        at += 18;
    }
    Some(found)
}

/// What is to be done with rows. Most need nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowPlan {
    columns: Vec<Planned>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    at: usize,
    kind: u32,
    holds: Holds,
    format: i16,
}

impl RowPlan {
    /// `asks`: the statement asks the catalogue of types, so that numbers whose origin the server
    /// does not tell may be type numbers.
    pub(crate) fn of(
        numbers: &Numbers,
        columns: impl IntoIterator<Item = Column>,
        asks: bool,
    ) -> RowPlan {
        let mut planned = Vec::new();
        for (at, column) in columns.into_iter().enumerate() {
            let Column { table, attribute, kind, format } = column;
            let holds = match numbers.types.holds(table, attribute) {
                Some(holds) => holds,
                None if table == 0 && asks => Holds::Maybe,
                None => Holds::Other,
            };
            let of_numbers = OF_NUMBERS.contains(&kind) && holds != Holds::Other;
            if of_numbers || kind == REGTYPE || carries(&numbers.types.shapes, kind) {
                planned.push(Planned { at, kind, holds, format });
            }
        }
        RowPlan { columns: planned }
    }

    /// Whether rows can pass as they are, whatever their format.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// With the formats that a Bind asks for; `None` keeps those of the description.
    pub(crate) fn formatted(&self, formats: Option<&[i16]>) -> RowPlan {
        let mut plan = self.clone();
        if let Some(formats) = formats {
            for column in &mut plan.columns {
                column.format = format_of(formats, column.at);
            }
        }
        // As text, only numbers themselves have any.
        plan.columns.retain(|column| column.format == 1 || OF_NUMBERS.contains(&column.kind));
        plan
    }

    /// A DataRow's body with the clients' numbers; `None` if it is right as it is.
    pub(crate) fn row(&self, numbers: &Numbers, body: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let (count, mut rest) = body.split_at_checked(2).ok_or(Malformed)?;
        let mut out = Vec::with_capacity(body.len() + 16);
        out.extend_from_slice(count);
        let mut planned = self.columns.iter().peekable();
        let mut at = 0;
        while let Some((cell, after)) = cell(rest)? {
            rest = after;
            let plan = planned.next_if(|plan| plan.at == at);
            at += 1;
            match (cell, plan) {
                (Some(cell), Some(plan)) => put(&mut out, Some(&plan.cell(numbers, cell)?)),
                (cell, _) => put(&mut out, cell),
            }
        }
        Ok((out != body).then_some(out))
    }
}

impl Planned {
    fn cell<'a>(&self, numbers: &Numbers, cell: &'a [u8]) -> Result<Cow<'a, [u8]>, Malformed> {
        let map = &numbers.map;
        let oid = |number: u32| match self.holds {
            Holds::Type => map.client(number),
            Holds::Maybe if numbers.types.shapes.contains_key(&number) => map.client(number),
            Holds::Maybe | Holds::Other => number,
        };
        if self.format == 1 {
            let mut value = cell.to_vec();
            patch(&numbers.types.shapes, Toward::Client(map), &oid, self.kind, &mut value)?;
            Ok(Cow::Owned(value))
        } else {
            Ok(numbers_in_text(cell, oid))
        }
    }
}

/// The format of a value by the list of formats in a Bind: none means text, one is for all.
pub(crate) fn format_of(formats: &[i16], at: usize) -> i16 {
    match formats {
        [] => 0,
        [all] => *all,
        _ => formats.get(at).copied().unwrap_or(0),
    }
}

/// The next length and value (`None` for a null), and what follows; `None` at the end.
#[allow(clippy::type_complexity)]
pub(crate) fn cell(rest: &[u8]) -> Result<Option<(Option<&[u8]>, &[u8])>, Malformed> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
    match usize::try_from(i32::from_be_bytes(*length)) {
        Err(_) => Ok(Some((None, rest))),
        Ok(length) => {
            let (cell, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
            Ok(Some((Some(cell), rest)))
        }
    }
}

/// Appends a length and a value.
pub(crate) fn put(out: &mut Vec<u8>, cell: Option<&[u8]>) {
    match cell {
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(cell) => {
            // No message, and so no value, is longer than 1 GiB.
            out.extend_from_slice(&u32::try_from(cell.len()).unwrap_or(0).to_be_bytes());
            out.extend_from_slice(cell);
        }
    }
}

/// A text of one number, an array or a vector of such, with each number replaced.
pub(crate) fn numbers_in_text(text: &[u8], with: impl Fn(u32) -> u32) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    // Bounds that an array is told to have, `[0:1]={…}`, are no elements.
    let begin = if text.first() == Some(&b'[') {
        text.iter().position(|b| *b == b'=').unwrap_or(0)
    } else {
        0
    };
    let mut at = begin;
    let mut copied = 0;
    while at < text.len() {
        let digits = text[at..].iter().position(|b| !b.is_ascii_digit());
        let end = digits.map_or(text.len(), |n| at + n);
        if end == at {
            at += 1;
            continue;
        }
        let number = std::str::from_utf8(&text[at..end]).ok().and_then(|n| n.parse::<u32>().ok());
        if let Some(number) = number
            && with(number) != number
        {
            let out = out.get_or_insert_with(|| Vec::with_capacity(text.len() + 8));
            out.extend_from_slice(&text[copied..at]);
            out.extend_from_slice(with(number).to_string().as_bytes());
            copied = end;
        }
        at = end;
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.extend_from_slice(&text[copied..]);
            Cow::Owned(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;
    use bytes::BytesMut;
    use changeover_pgwire::backend::FieldDescription;
    use changeover_pgwire::reply;

    fn column(table: u32, attribute: i16, kind: u32, format: i16) -> Column {
        Column { table, attribute, kind, format }
    }

    fn shown(column: Column, asks: bool, value: &[u8]) -> Vec<u8> {
        let plan = RowPlan::of(&numbers(), [column], asks).formatted(None);
        let mut message = BytesMut::new();
        reply::data_row(&mut message, &[Some(value), None]);
        let new = plan.row(&numbers(), &message[5..]).unwrap();
        let new = new.unwrap_or_else(|| message[5..].to_vec());
        let (cell, rest) = cell(&new[2..]).unwrap().unwrap();
        assert_eq!(rest, [255; 4]);
        cell.unwrap().to_vec()
    }

    #[test]
    fn columns_of_the_catalogue_show_the_clients_numbers() {
        let oid = column(1247, 1, OID, 0);
        assert_eq!(shown(oid, false, b"117000"), b"16500");
        let binary = Column { format: 1, ..oid };
        assert_eq!(shown(binary, false, &117_000_u32.to_be_bytes()), 16_500_u32.to_be_bytes());
        // Another column, a table of the user's, a type that agrees.
        for (table, attribute, value) in
            [(1247, 9, "117000"), (40_000, 1, "117000"), (1247, 1, "117003")]
        {
            let column = column(table, attribute, OID, 0);
            assert_eq!(shown(column, true, value.as_bytes()), value.as_bytes());
        }
        // Of unknown origin: only in a statement that asks for types, and only a type's number.
        let unknown = column(0, 0, 1028, 0);
        assert_eq!(shown(unknown, true, b"{117000,NULL,5,16501}"), b"{16500,NULL,5,16501}");
        assert_eq!(shown(unknown, false, b"{117000}"), b"{117000}");
        assert_eq!(shown(column(1247, 1, OID, 0), true, b"16500"), b"117000");
        // A regtype is one whatever it comes from; its text is a name.
        let regtype = column(0, 0, REGTYPE, 1);
        assert_eq!(shown(regtype, false, &117_000_u32.to_be_bytes()), 16_500_u32.to_be_bytes());
        assert_eq!(shown(Column { format: 0, ..regtype }, false, b"mood"), b"mood");
        let moods = [1, 0, 117_000, 0, 1].map(u32::to_be_bytes).concat();
        let expected = [1, 0, 16_500, 0, 1].map(u32::to_be_bytes).concat();
        assert_eq!(shown(column(40_000, 2, 117_001, 1), false, &moods), expected);
    }

    #[test]
    fn formats_are_those_of_the_bind() {
        let columns = [column(0, 0, 25, 0), column(0, 0, 117_001, 0), column(1247, 1, OID, 0)];
        let plan = RowPlan::of(&numbers(), columns, false);
        assert!(!plan.is_empty());
        let kinds = |formats: Option<&[i16]>| {
            let plan = plan.formatted(formats);
            plan.columns.iter().map(|c| (c.at, c.format)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(None), [(2, 0)]);
        assert_eq!(kinds(Some(&[1])), [(1, 1), (2, 1)]);
        assert_eq!(kinds(Some(&[0, 1, 0])), [(1, 1), (2, 0)]);
        assert_eq!(kinds(Some(&[])), [(2, 0)]);
        assert!(RowPlan::of(&numbers(), [column(0, 0, 1007, 1)], true).is_empty());
    }

    #[test]
    fn texts_of_numbers() {
        let with = |text: &'static str| {
            let new = numbers_in_text(text.as_bytes(), |n| if n == 16_500 { 7 } else { n });
            String::from_utf8(new.into_owned()).unwrap()
        };
        assert_eq!(with("16500"), "7");
        assert_eq!(with("{16500,NULL,116500}"), "{7,NULL,116500}");
        assert_eq!(with("[16500:16501]={1,16500}"), "[16500:16501]={1,7}");
        assert_eq!(with("16500 23 16500"), "7 23 7");
        assert_eq!(with("99999999999"), "99999999999");
    }

    #[test]
    fn descriptions_are_read() {
        let field = |name: &'static str, type_oid| FieldDescription {
            name: bytes::Bytes::from_static(name.as_bytes()),
            table_oid: 1247,
            column: -2,
            type_oid,
            type_size: 4,
            type_modifier: -1,
            format: 1,
        };
        let mut message = BytesMut::new();
        reply::row_description(&mut message, &[field("", 26), field("m", 117_000)]);
        let found = columns(&message[5..]).unwrap();
        assert_eq!(found[1].1, column(1247, -2, 117_000, 1));
        assert_eq!(message[5..][found[1].0..][..4], 117_000_u32.to_be_bytes());
        assert_eq!(columns(&message[5..20]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do_no_harm(
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            format in 0_i16..2,
        ) {
            columns(&body);
            let plan = RowPlan::of(&numbers(), [column(0, 0, 1028, format), column(0, 0, 117_001, 1)], true);
            plan.row(&numbers(), &body).ok();
        }
    }
}
