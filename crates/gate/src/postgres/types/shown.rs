//! The numbers that clients are shown on each side, as they survive the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use changeover_types::Side;
use serde::{Deserialize, Serialize};

use super::permutation::{Names, Permutation, carried};
use crate::files::replace;

/// One side's types when they were read last, and what clients saw of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OneSide {
    pub(crate) names: Names,
    pub(crate) map: Permutation,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The side whose map holds: the one that had authority last.
    pub(crate) side: Side,
    source: OneSide,
    target: OneSide,
}

impl Default for Shown {
    /// Before the first move the source's own numbers are shown.
    fn default() -> Self {
        Shown { side: Side::Source, source: OneSide::default(), target: OneSide::default() }
    }
}

impl Shown {
    pub(crate) fn of(&self, side: Side) -> &OneSide {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    pub(crate) fn of_mut(&mut self, side: Side) -> &mut OneSide {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    /// Authority has gone to the other side, whose types are `to`: clients go on to see what they
    /// know.
    pub(crate) fn turn(&mut self, to: Names) {
        let side = self.side.other();
        let before = self.of(self.side);
        let map = carried((&before.names, &before.map), (&to, &self.of(side).map));
        *self.of_mut(side) = OneSide { names: to, map };
        self.side = side;
    }
}

/// `type-numbers.json` in the gate's state folder.
#[derive(Debug)]
pub(crate) struct ShownFile {
    path: PathBuf,
    /// The two databases: what was kept for others is of no use.
    between: String,
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    between: String,
    side: Side,
    source: Kept,
    target: Kept,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    names: Vec<(String, String, u32)>,
    /// A server's number and the clients', where they differ.
    shown: Vec<(u32, u32)>,
}

impl Kept {
    fn of(side: &OneSide) -> Kept {
        let names = side.names.iter();
        let names = names.map(|((schema, name), oid)| (schema.clone(), name.clone(), *oid));
        Kept { names: names.collect(), shown: side.map.pairs().collect() }
    }

    fn taken(self) -> OneSide {
        let names = self.names.into_iter().map(|(schema, name, oid)| ((schema, name), oid));
        OneSide { names: names.collect(), map: Permutation::of(self.shown) }
    }
}

const VERSION: u32 = 1;

impl ShownFile {
    pub(crate) fn new(folder: &Path, between: String) -> ShownFile {
        ShownFile { path: folder.join("type-numbers.json"), between }
    }

    /// What was kept; `None` if nothing was, or for two other databases.
    pub(crate) fn read(&self) -> io::Result<Option<Shown>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found: Document = serde_json::from_slice(&text)?;
        if found.v != VERSION || found.between != self.between {
            return Ok(None);
        }
        let (source, target) = (found.source.taken(), found.target.taken());
        Ok(Some(Shown { side: found.side, source, target }))
    }

    /// Replaces it durably.
    pub(crate) fn write(&self, shown: &Shown) -> io::Result<()> {
        let document = Document {
            v: VERSION,
            between: self.between.clone(),
            side: shown.side,
            source: Kept::of(&shown.source),
            target: Kept::of(&shown.target),
        };
        let text = serde_json::to_vec(&document)?;
        replace(&self.path, &text)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[(&str, u32)]) -> Names {
        list.iter().map(|(name, oid)| (("public".to_owned(), (*name).to_owned()), *oid)).collect()
    }

    #[test]
    fn it_is_there_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = ShownFile::new(folder.path(), "a b".to_owned());
        assert_eq!(file.read().unwrap(), None);
        let mut shown = Shown::default();
        shown.of_mut(Side::Source).names = names(&[("mood", 16_500)]);
        shown.turn(names(&[("mood", 17_000), ("own", 16_500)]));
        assert_eq!(shown.of(Side::Target).map.client(17_000), 16_500);
        file.write(&shown).unwrap();
        assert_eq!(file.read().unwrap(), Some(shown.clone()));
        assert_eq!(ShownFile::new(folder.path(), "a c".to_owned()).read().unwrap(), None);
        // Back: the source's numbers are its own.
        shown.turn(names(&[("mood", 16_500)]));
        assert!(shown.of(Side::Source).map.is_identity());
        std::fs::write(file.path(), "{").unwrap();
        assert!(file.read().is_err());
    }
}
