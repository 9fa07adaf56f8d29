//! The prepared statements a session has on its server, kept so that they can be made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::types::{Meaning, RowPlan};

/// All of a session's kept statements together may be this long.
const MAX_KEPT: usize = 16 * 1024 * 1024;

/// A Parse message's body: name, query, and parameter types as the client knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    body: Box<[u8]>,
    query_at: usize,
    types_at: usize,
    /// What its text tells of type numbers, where they are translated and it asks for types.
    pub(crate) meaning: Option<Arc<Meaning>>,
    pub(crate) described: Described,
}

/// What a server said of a statement, where type numbers are translated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// The parameters' types in the server's numbers.
    pub(crate) parameters: Option<Arc<[u32]>>,
    pub(crate) rows: Option<Arc<RowPlan>>,
}

impl Statement {
    /// Takes a Parse message's body; `None` if it is malformed (the server will say so).
    pub(crate) fn from_parse(body: &[u8]) -> Option<Statement> {
        let query_at = body.iter().position(|b| *b == 0)? + 1;
        let types_at = query_at + body[query_at..].iter().position(|b| *b == 0)? + 1;
        let count = u16::from_be_bytes(body.get(types_at..)?.first_chunk().copied()?);
        let whole = body.len() == types_at + 2 + 4 * usize::from(count);
        whole.then(|| Statement {
            body: body.into(),
            query_at,
            types_at: types_at + 2,
            meaning: None,
            described: Described::default(),
        })
    }

    /// The name; empty for the unnamed statement.
    pub(crate) fn name(&self) -> &[u8] {
        &self.body[..self.query_at - 1]
    }

    /// The query's text.
    pub(crate) fn query(&self) -> &[u8] {
        &self.body[self.query_at..self.types_at - 3]
    }

    /// The parameters' types.
    pub(crate) fn types(&self) -> impl Iterator<Item = u32> {
        self.body[self.types_at..].as_chunks::<4>().0.iter().map(|oid| u32::from_be_bytes(*oid))
    }

    /// The Parse message's body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Where in the body the parameters' types begin, four bytes each.
    pub(crate) fn types_at(&self) -> usize {
        self.types_at
    }
}

/// The statements by name.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    by_name: BTreeMap<Box<[u8]>, Statement>,
    bytes: usize,
    lost: bool,
    /// The unnamed statement, until the next one takes its place.
    lost_unnamed: bool,
}

impl Statements {
    /// The server has confirmed a statement; `None` is one that was too long to keep.
    pub(super) fn keep(&mut self, statement: Option<Statement>) {
        let Some(statement) = statement else {
            self.lost = true;
            return;
        };
        self.close(&Box::from(statement.name()));
        self.bytes += statement.body.len();
        self.lost |= self.bytes > MAX_KEPT;
        if self.bytes > MAX_KEPT {
            self.bytes -= statement.body.len();
        } else {
            self.by_name.insert(statement.name().into(), statement);
        }
    }

    /// The server has confirmed an unnamed statement that was too long to keep.
    pub(super) fn lose_unnamed(&mut self) {
        self.close(b"");
        self.lost_unnamed = true;
    }

    pub(super) fn close(&mut self, name: &[u8]) {
        self.lost_unnamed &= !name.is_empty();
        if let Some(old) = self.by_name.remove(name) {
            self.bytes -= old.body.len();
        }
    }

    /// A simple query destroys the unnamed statement.
    pub(super) fn forget_unnamed(&mut self) {
        if self.lost_unnamed || !self.by_name.is_empty() {
            self.close(b"");
        }
    }

    /// DISCARD ALL and DEALLOCATE ALL spare only the unnamed statement.
    pub(super) fn clear(&mut self) {
        self.by_name.retain(|name, _| name.is_empty());
        self.bytes = self.by_name.values().map(|s| s.body.len()).sum();
        self.lost = false;
    }

    /// Forgets the named statements the server does not hold any more (a plain DEALLOCATE).
    pub(crate) fn retain_named(&mut self, held: impl Fn(&[u8]) -> bool) {
        self.by_name.retain(|name, _| name.is_empty() || held(name));
        self.bytes = self.by_name.values().map(|s| s.body.len()).sum();
    }

    /// Whether the server may hold a statement that was not kept.
    pub(crate) fn lost(&self) -> bool {
        self.lost || self.lost_unnamed
    }

    /// The statement of this name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Statement> {
        self.by_name.get(name)
    }

    /// The statement of this name.
    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Statement> {
        self.by_name.get_mut(name)
    }

    /// All of them, the unnamed first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Statement> {
        self.by_name.values_mut()
    }

    /// All of them, the unnamed first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Statement> {
        self.by_name.values()
    }
}
