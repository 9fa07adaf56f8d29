//! The table of contents of an archive, as `pg_restore -l` prints it.
//!
//! A line is `dump id; catalogue oid, object oid, description, schema, tag, owner`. The last
//! three are names that may hold anything, so nothing is read from them: an entry is told by its
//! description, which comes first and is one of a known list, and by its object's OID on the
//! source, which the catalogue explains.

/// What an entry is, as far as the order of a restore depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A schema.
    Schema,
    /// An index.
    Index,
    /// A primary key, unique or exclusion constraint (checks come with their tables, or are
    /// NOT VALID and cost nothing: see [`EntryKind::Rule`]).
    Constraint,
    /// A partition's index becomes part of its parent's.
    IndexAttach,
    /// An event trigger.
    EventTrigger,
    /// A publication or subscription.
    Replication,
    /// Grants, or default privileges.
    Grants,
    /// An extension.
    Extension,
    /// A foreign key, or a check that was not valid on the source.
    Rule,
    /// A policy of row security.
    Policy,
    /// Anything else.
    Other,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number that leads the line.
    pub dump_id: u32,
    /// The OID of the catalogue the object is in; 0 for a few kinds.
    pub catalog_oid: u32,
    /// The object's OID on the source.
    pub oid: u32,
    /// What it is.
    pub kind: EntryKind,
    /// The line from its description on, for people.
    pub label: String,
}

const KINDS: [(&str, EntryKind); 13] = [
    ("SCHEMA -", EntryKind::Schema),
    ("INDEX ATTACH ", EntryKind::IndexAttach),
    ("INDEX ", EntryKind::Index),
    ("CONSTRAINT ", EntryKind::Constraint),
    ("EVENT TRIGGER ", EntryKind::EventTrigger),
    ("PUBLICATION", EntryKind::Replication),
    ("SUBSCRIPTION", EntryKind::Replication),
    ("FK CONSTRAINT ", EntryKind::Rule),
    ("CHECK CONSTRAINT ", EntryKind::Rule),
    ("ACL ", EntryKind::Grants),
    ("DEFAULT ACL ", EntryKind::Grants),
    ("EXTENSION - ", EntryKind::Extension),
    ("POLICY ", EntryKind::Policy),
];

impl Entry {
    /// Whether this is the entry of the schema `name`. A schema's line holds its name and then its
    /// owner, so both cannot be told apart for sure: a name with a space may be taken for
    /// another's. The restore then fails on the missing schema and changes nothing.
    #[must_use]
    pub fn is_schema(&self, name: &str) -> bool {
        names(&self.label, "SCHEMA - ", name)
    }
}

/// Whether a label is of the object `name` of a kind without a schema. See [`Entry::is_schema`].
pub(super) fn names(label: &str, kind: &str, name: &str) -> bool {
    label
        .strip_prefix(kind)
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|owner| owner.is_empty() || owner.starts_with(' '))
}

/// The entries of a list; comment lines are left out.
///
/// # Errors
/// The first line that is not understood: an archive that cannot be read is not restored.
pub fn parse(list: &str) -> Result<Vec<Entry>, String> {
    list.lines()
        .filter(|line| !line.starts_with(';') && !line.trim().is_empty())
        .map(|line| parse_line(line).ok_or_else(|| line.to_owned()))
        .collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let (dump_id, rest) = line.split_once("; ")?;
    let (catalog_oid, rest) = rest.split_once(' ')?;
    let (oid, label) = rest.split_once(' ')?;
    let kind = KINDS
        .iter()
        .find(|(description, _)| label.starts_with(description))
        .map_or(EntryKind::Other, |(_, kind)| *kind);
    Some(Entry {
        dump_id: dump_id.parse().ok()?,
        catalog_oid: catalog_oid.parse().ok()?,
        oid: oid.parse().ok()?,
        kind,
        label: label.to_owned(),
    })
}

/// A list file for `pg_restore -L` with these entries in this order. Only the number counts.
#[must_use]
pub fn list_file<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    entries.into_iter().map(|entry| format!("{}; 0 0 X\n", entry.dump_id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_do_not_move_an_entry() {
        let list = ";\n; Archive created at 2026\n;\n\
            218; 1259 16390 TABLE public INDEX x postgres\n\
            3370; 1259 16420 INDEX Odd \"Schema\" CONSTRAINT x postgres\n\
            3371; 0 0 INDEX ATTACH public a b\n\
            3372; 2606 16421 CONSTRAINT public t FK CONSTRAINT p\n\
            3373; 2606 16422 FK CONSTRAINT public t x p\n\
            6; 2615 16388 SCHEMA - Odd \"Schema\" postgres\n\
            3374; 3466 1 EVENT TRIGGER - e postgres\n";
        let kinds: Vec<EntryKind> = parse(list).unwrap().iter().map(|e| e.kind).collect();
        use EntryKind::*;
        assert_eq!(kinds, [Other, Index, IndexAttach, Constraint, Rule, Schema, EventTrigger]);
        assert_eq!(parse("what; is this").unwrap_err(), "what; is this");
    }
}
