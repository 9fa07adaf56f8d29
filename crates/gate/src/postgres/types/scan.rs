//! What a statement's text tells of its numbers: whether it asks the catalogue of types, and which
//! of its parameters are compared with type numbers.
//!
//! This is no parser. It reads words, and knows a few ways to compare a column with a parameter;
//! of what it does not know it says so.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{Token, words};

/// Columns of the catalogue that hold type numbers and nothing else, as `table.column`.
pub(crate) const COLUMNS: &[&str] = &[
    "pg_type.oid",
    "pg_type.typelem",
    "pg_type.typarray",
    "pg_type.typbasetype",
    "pg_attribute.atttypid",
    "pg_class.reltype",
    "pg_class.reloftype",
    "pg_enum.enumtypid",
    "pg_range.rngtypid",
    "pg_range.rngsubtype",
    "pg_range.rngmultitypid",
    "pg_proc.prorettype",
    "pg_proc.provariadic",
    "pg_proc.proargtypes",
    "pg_proc.proallargtypes",
    "pg_proc.protrftypes",
    "pg_cast.castsource",
    "pg_cast.casttarget",
    "pg_operator.oprleft",
    "pg_operator.oprright",
    "pg_operator.oprresult",
    "pg_aggregate.aggtranstype",
    "pg_aggregate.aggmtranstype",
    "pg_opclass.opcintype",
    "pg_opclass.opckeytype",
    "pg_amop.amoplefttype",
    "pg_amop.amoprighttype",
    "pg_amproc.amproclefttype",
    "pg_amproc.amprocrighttype",
    "pg_constraint.contypid",
    "pg_sequence.seqtypid",
    "pg_transform.trftype",
];

/// Columns that hold the number of an object of any kind.
pub(crate) const OF_ANY_KIND: &[&str] = &[
    "pg_depend.objid",
    "pg_depend.refobjid",
    "pg_shdepend.objid",
    "pg_description.objoid",
    "pg_seclabel.objoid",
    "pg_init_privs.objoid",
];

/// Words that say that a statement asks for types. `pg_class` is not among them: what it has of
/// types is a plain column.
pub(crate) const OF_TYPES: &[&str] = &[
    "pg_type",
    "pg_attribute",
    "pg_enum",
    "pg_range",
    "pg_proc",
    "pg_cast",
    "pg_operator",
    "pg_aggregate",
    "pg_opclass",
    "pg_amop",
    "pg_amproc",
    "pg_sequence",
    "pg_transform",
    "pg_depend",
    "pg_shdepend",
    "pg_description",
    "pg_seclabel",
    "pg_init_privs",
    "regtype",
    "pg_typeof",
    "to_regtype",
    "format_type",
];

/// What a parameter is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A type number.
    Type,
    /// Something else.
    Other,
    /// Not understood.
    Unknown,
}

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    roles: BTreeMap<u16, Role>,
}

impl Meaning {
    /// Of a statement that asks the catalogue of types; `None` of any other.
    pub(crate) fn of(sql: &[u8]) -> Option<Meaning> {
        if !may_ask(sql) {
            return None;
        }
        let tokens = words(sql);
        let asks =
            |token: &Token| matches!(token, Token::Word(w) if OF_TYPES.contains(&w.as_str()));
        if !tokens.iter().any(asks) {
            return None;
        }
        let reading = Reading { aliases: aliases(&tokens), tokens: &tokens };
        let mut roles = BTreeMap::new();
        for (at, token) in tokens.iter().enumerate() {
            let Token::Parameter(number) = token else { continue };
            let role = reading.role(at);
            let known = roles.entry(*number).or_insert(role);
            if *known != role {
                *known = Role::Unknown;
            }
        }
        Some(Meaning { roles })
    }

    /// The role of the parameter with this number; the first is 1.
    pub(crate) fn role(&self, number: u16) -> Role {
        self.roles.get(&number).copied().unwrap_or(Role::Other)
    }
}

/// A quick look: most statements have none of the words.
fn may_ask(sql: &[u8]) -> bool {
    let found = |word: &[u8]| {
        sql.windows(word.len())
            .any(|part| part[0] | 0x20 == word[0] && part.eq_ignore_ascii_case(word))
    };
    found(b"pg_") || found(b"regtype") || found(b"format_type")
}

/// What the names of tables in a statement stand for; `None` if for several.
type Aliases = BTreeMap<String, Option<String>>;

/// No aliases, though they may follow a table's name.
const KEYWORDS: &[&str] = &[
    "where",
    "on",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "join",
    "natural",
    "using",
    "order",
    "group",
    "limit",
    "union",
    "having",
    "as",
    "set",
    "window",
    "offset",
    "fetch",
    "for",
    "and",
    "or",
    "then",
    "else",
    "end",
    "when",
    "tablesample",
    "except",
    "intersect",
    "from",
    "select",
];

fn aliases(tokens: &[Token]) -> Aliases {
    let mut found = Aliases::new();
    let mut add = |alias: &str, table: &str| {
        let entry = found.entry(alias.to_owned()).or_insert_with(|| Some(table.to_owned()));
        if entry.as_deref() != Some(table) {
            *entry = None;
        }
    };
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(table) = token else { continue };
        if !table.starts_with("pg_") || table == "pg_catalog" {
            continue;
        }
        // `pg_catalog.pg_type` is a table; `pg_type.oid` tells nothing new; `pg_f(` is none.
        if matches!(tokens.get(at + 1), Some(Token::Sign(b'.' | b'('))) {
            continue;
        }
        add(table, table);
        let next = usize::from(matches!(tokens.get(at + 1), Some(Token::Word(w)) if w == "as"));
        if let Some(Token::Word(alias)) = tokens.get(at + 1 + next)
            && !KEYWORDS.contains(&alias.as_str())
        {
            add(alias, table);
        }
    }
    found
}

struct Reading<'a> {
    tokens: &'a [Token],
    aliases: Aliases,
}

impl Reading<'_> {
    fn word(&self, at: Option<usize>) -> Option<&str> {
        match self.tokens.get(at?)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn is(&self, at: Option<usize>, sign: u8) -> bool {
        at.is_some_and(|at| self.tokens.get(at) == Some(&Token::Sign(sign)))
    }

    /// The role of the parameter at this place.
    fn role(&self, at: usize) -> Role {
        let mut after = at + 1;
        while self.tokens.get(after) == Some(&Token::Cast) {
            after += 1;
            if self.word(Some(after)) == Some("pg_catalog") {
                after += 2;
            }
            if self.word(Some(after)) == Some("regtype") {
                return Role::Type;
            }
            after += 1;
            while self.is(Some(after), b'[') || self.is(Some(after), b']') {
                after += 1;
            }
        }
        if self.is(Some(after), b'=') {
            return self.column_from(after + 1);
        }
        self.compared(at)
    }

    /// What stands before an operand that begins here.
    fn compared(&self, at: usize) -> Role {
        let Some(before) = at.checked_sub(1) else { return Role::Unknown };
        match &self.tokens[before] {
            Token::Sign(b'=') => before.checked_sub(1).map_or(Role::Unknown, |e| self.column_to(e)),
            Token::Sign(b'(' | b'[') => self.opened(before),
            Token::Sign(b',') => match self.opener(before) {
                Some(open) if self.is_list(open) => self.opened(open),
                _ => Role::Unknown,
            },
            Token::Word(word) => match word.as_str() {
                "limit" | "offset" | "first" | "like" | "ilike" => Role::Other,
                _ => Role::Unknown,
            },
            _ => Role::Unknown,
        }
    }

    /// The role of what stands first behind an opening bracket.
    fn opened(&self, open: usize) -> Role {
        let before = open.checked_sub(1);
        match self.word(before) {
            Some("any" | "some") => match before.and_then(|b| b.checked_sub(2)) {
                Some(column) if self.is(Some(column + 1), b'=') => self.column_to(column),
                _ => Role::Unknown,
            },
            Some("in") => {
                let not = before.and_then(|b| b.checked_sub(1));
                let column = if self.word(not) == Some("not") {
                    not.and_then(|n| n.checked_sub(1))
                } else {
                    not
                };
                column.map_or(Role::Unknown, |column| self.column_to(column))
            }
            Some("array") => before.map_or(Role::Unknown, |array| self.compared(array)),
            Some("format_type" | "pg_type_is_visible") => Role::Type,
            Some(_) => Role::Unknown,
            None => self.compared(open),
        }
    }

    fn is_list(&self, open: usize) -> bool {
        matches!(self.word(open.checked_sub(1)), Some("in" | "array"))
    }

    /// The bracket that is open at this place.
    fn opener(&self, at: usize) -> Option<usize> {
        let mut closed = 0;
        (0..at).rev().find(|place| match self.tokens[*place] {
            Token::Sign(b')' | b']') => {
                closed += 1;
                false
            }
            Token::Sign(b'(' | b'[') if closed == 0 => true,
            Token::Sign(b'(' | b'[') => {
                closed -= 1;
                false
            }
            _ => false,
        })
    }

    fn column_from(&self, at: usize) -> Role {
        match (self.word(Some(at)), self.is(Some(at + 1), b'.')) {
            (Some(table), true) => match self.word(Some(at + 2)) {
                Some(column) => self.column(column, Some(table)),
                None => Role::Unknown,
            },
            (Some(column), false) if !self.is(Some(at + 1), b'(') => self.column(column, None),
            _ => Role::Unknown,
        }
    }

    /// The column whose name, or whose cast, ends here.
    fn column_to(&self, end: usize) -> Role {
        let Some(name) = self.word(Some(end)) else { return Role::Unknown };
        let before = end.checked_sub(1);
        if before.is_some_and(|b| self.tokens[b] == Token::Cast) {
            return end.checked_sub(2).map_or(Role::Unknown, |column| self.column_to(column));
        }
        let table = if self.is(before, b'.') { self.word(end.checked_sub(2)) } else { None };
        self.column(name, table)
    }

    fn column(&self, name: &str, table: Option<&str>) -> Role {
        if name == "oid" {
            return self.oid(table);
        }
        let named = |list: &[&str]| list.iter().any(|c| c.split('.').nth(1) == Some(name));
        if named(COLUMNS) {
            Role::Type
        } else if named(OF_ANY_KIND) {
            Role::Unknown
        } else {
            self.renamed(name)
        }
    }

    fn oid(&self, table: Option<&str>) -> Role {
        let of = |table: &Option<String>| match table.as_deref() {
            Some("pg_type") => Role::Type,
            Some(_) => Role::Other,
            None => Role::Unknown,
        };
        match table {
            Some(table) => match self.aliases.get(table) {
                Some(found) => of(found),
                None => self.derived(table),
            },
            None => {
                let tables: BTreeSet<_> = self.aliases.values().collect();
                match (tables.len(), tables.iter().any(|t| of(t) != Role::Other)) {
                    (_, false) => Role::Other,
                    (1, true) => Role::Type,
                    _ => Role::Unknown,
                }
            }
        }
    }

    /// `name` as a new name of another column.
    fn renamed(&self, name: &str) -> Role {
        let places = (1..self.tokens.len()).filter(|at| {
            self.word(Some(*at)) == Some(name) && self.word(at.checked_sub(1)) == Some("as")
        });
        let mut roles = places.filter_map(|at| {
            let column = at.checked_sub(2)?;
            // Not the name of a table that it is the alias of, nor itself.
            let known = self.word(Some(column)).is_some_and(|w| w != name && !w.starts_with("pg_"));
            known.then(|| self.column_to(column))
        });
        let Some(first) = roles.next() else { return Role::Other };
        if roles.all(|role| role == first) { first } else { Role::Unknown }
    }

    /// The column `oid` of a query in brackets that has this name.
    fn derived(&self, name: &str) -> Role {
        let mut found = None;
        for at in (0..self.tokens.len()).filter(|at| self.word(Some(*at)) == Some(name)) {
            let mut close = at.checked_sub(1);
            if self.word(close) == Some("as") {
                close = at.checked_sub(2);
            }
            // `(select …) as name`, or `name as (select …)`.
            let group = if self.is(close, b')') {
                close.and_then(|close| Some((self.opener(close)?, close)))
            } else if self.word(Some(at + 1)) == Some("as") {
                let open = (at + 2..at + 5).find(|open| self.is(Some(*open), b'('));
                open.map(|open| (open, self.tokens.len()))
            } else {
                None
            };
            let Some((open, close)) = group else { continue };
            let role = self.selected(open, close);
            if found.is_some_and(|known| known != role) {
                return Role::Unknown;
            }
            found = Some(role);
        }
        found.unwrap_or(Role::Unknown)
    }

    /// What the query between these brackets calls `oid`.
    fn selected(&self, open: usize, close: usize) -> Role {
        let mut depth = 0;
        for at in open + 1..close {
            match &self.tokens[at] {
                Token::Sign(b'(' | b'[') => depth += 1,
                Token::Sign(b')' | b']') if depth == 0 => break,
                Token::Sign(b')' | b']') => depth -= 1,
                Token::Word(word) if depth == 0 && word == "from" => break,
                Token::Word(word) if depth == 0 && word == "oid" => {
                    if self.word(at.checked_sub(1)) == Some("as") {
                        return at.checked_sub(2).map_or(Role::Unknown, |c| self.column_to(c));
                    }
                    if self.word(Some(at + 1)) != Some("as") {
                        return self.column_to(at);
                    }
                }
                _ => {}
            }
        }
        Role::Unknown
    }
}

#[cfg(test)]
mod tests;
