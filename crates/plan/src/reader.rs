//! Typed access to the tree. A wrong value becomes a fault and reading goes on.

use crate::fault::{FaultKind, Faults, Found, Place, render};
use crate::node::{Entry, Node, Shape, quoted};
use include::{Included, Includes};

pub(crate) mod include;
mod suggest;

/// Collects faults.
#[derive(Default)]
pub(crate) struct Reader {
    faults: Vec<Found>,
    /// Every mapping and key that was asked for, for the test that compares them with the schema.
    #[cfg(test)]
    pub(crate) asked: std::collections::BTreeSet<String>,
    /// The files that a plan may name, as they were given to us.
    pub(crate) files: Includes,
    /// Those it named, with the text of each; the plan itself is not among them.
    pub(crate) included: Vec<Included>,
    /// Which file is read at the moment: 0 is the plan, then [`Reader::included`] from 1.
    pub(crate) source: usize,
}

impl Reader {
    /// With the files that the plan may name.
    pub(crate) fn with(files: Includes) -> Reader {
        Reader { files, ..Reader::default() }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub(crate) fn into_faults(self, file: &str, text: &str) -> Faults {
        let mut sources = vec![(file.to_owned(), text)];
        sources.extend(self.included.iter().map(|it| (include::shown(file, &it.name), &*it.text)));
        render(self.faults, &sources)
    }

    /// Adds a fault.
    pub(crate) fn fault(
        &mut self,
        kind: FaultKind,
        place: Place,
        path: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (path, found, expected) = (path.to_owned(), found.into(), expected.into());
        let source = self.source;
        self.faults.push(Found { kind, source, place, path, found, expected, hint: None });
    }

    /// Says what to do about the fault added last.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) {
        if let Some(last) = self.faults.last_mut() {
            last.hint = Some(hint.into());
        }
    }

    /// Hints at the nearest of `names`, if one is near.
    pub(crate) fn suggest(&mut self, word: &str, names: &[&str]) {
        if let Some(near) = suggest::nearest(word, names) {
            self.hint(format!("did you mean `{near}`?"));
        }
    }

    /// Adds a fault about a field's value.
    pub(crate) fn bad(&mut self, kind: FaultKind, field: &Field<'_>, expected: impl Into<String>) {
        self.fault(kind, field.node.place, &field.path, field.node.describe(), expected);
    }

    /// The field as a mapping.
    pub(crate) fn map<'a>(&mut self, field: &Field<'a>) -> Option<Fields<'a>> {
        match &field.node.shape {
            Shape::Map(entries) => Some(Fields::new(entries, field)),
            _ => {
                self.bad(FaultKind::WrongType, field, "a mapping");
                None
            }
        }
    }

    /// The field as a mapping whose keys are the user's own words: each with its value.
    pub(crate) fn pairs<'a>(&mut self, field: &Field<'a>) -> Option<Vec<(&'a str, Field<'a>)>> {
        let Shape::Map(entries) = &field.node.shape else {
            self.bad(FaultKind::WrongType, field, "a mapping");
            return None;
        };
        #[cfg(test)]
        self.asked.insert(format!("{}[\"*\"]", field.path));
        let pair = |entry: &'a Entry| {
            let path = format!("{}[\"{}\"]", field.path, entry.key);
            (&*entry.key, Field { node: &entry.value, path })
        };
        Some(entries.iter().map(pair).collect())
    }

    /// The field as a list.
    pub(crate) fn list<'a>(&mut self, field: &Field<'a>, of: &str) -> Option<Vec<Field<'a>>> {
        let Shape::List(items) = &field.node.shape else {
            self.bad(FaultKind::WrongType, field, format!("a list of {of}"));
            return None;
        };
        let path = |index| format!("{}[{index}]", field.path);
        Some(items.iter().enumerate().map(|(i, node)| Field { node, path: path(i) }).collect())
    }

    /// The field as a text.
    pub(crate) fn text<'a>(&mut self, field: &Field<'a>, expected: &str) -> Option<&'a str> {
        match &field.node.shape {
            Shape::Text(text) if !text.trim().is_empty() => Some(text),
            _ => {
                self.bad(FaultKind::WrongType, field, expected);
                None
            }
        }
    }

    /// The field's text through `parse`; `None` from it is a fault of `kind`.
    pub(crate) fn parsed<T>(
        &mut self,
        field: &Field<'_>,
        kind: FaultKind,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(self.text(field, expected)?);
        if value.is_none() {
            self.bad(kind, field, expected);
        }
        value
    }

    /// The field as one of several words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        field: &Field<'_>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let expected = one_of(&names);
        let text = self.text(field, &expected)?;
        let value = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if value.is_none() {
            self.bad(FaultKind::WrongValue, field, expected);
            self.suggest(text, &names);
        }
        value
    }

    /// The field as a whole number within limits.
    pub(crate) fn number(&mut self, field: &Field<'_>, least: u64, most: u64) -> Option<u64> {
        let expected = format!("a whole number from {least} to {most}");
        let value =
            self.parsed(field, FaultKind::WrongType, &expected, |t| t.parse::<u64>().ok())?;
        if (least..=most).contains(&value) {
            return Some(value);
        }
        self.bad(FaultKind::WrongValue, field, expected);
        None
    }
}

/// `a, b or c` in back quotes.
pub(crate) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".to_owned(),
    }
}

/// A value and the path that leads to it.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: String,
}

impl<'a> Field<'a> {
    pub(crate) fn place(&self) -> Place {
        self.node.place
    }
}

/// A mapping's fields; [`Fields::done`] reports those that nobody asked for.
pub(crate) struct Fields<'a> {
    path: String,
    place: Place,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn new(entries: &'a [Entry], field: &Field<'a>) -> Self {
        Fields { path: field.path.clone(), place: field.node.place, entries, known: Vec::new() }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The field, if it is there.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Field { node: &entry.value, path: self.path_of(key) })
    }

    /// The field, whose absence is a fault.
    pub(crate) fn need(
        &mut self,
        key: &'static str,
        expected: &str,
        reader: &mut Reader,
    ) -> Option<Field<'a>> {
        let field = self.get(key);
        if field.is_none() {
            let path = self.path_of(key);
            reader.fault(FaultKind::Missing, self.place, &path, format!("no `{key}`"), expected);
        }
        field
    }

    /// Where the key (not the value) stands; the mapping's start if it is not there.
    pub(crate) fn key_place(&self, key: &str) -> Place {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.place, |entry| entry.place)
    }

    /// The mapping's first key, for mappings that have exactly one.
    pub(crate) fn only(&self) -> Option<&'a Entry> {
        match self.entries {
            [entry] => Some(entry),
            _ => None,
        }
    }

    /// Reports every key that was not asked for; those in `unbuilt` as not built yet.
    pub(crate) fn done(mut self, unbuilt: &[&str], reader: &mut Reader) {
        self.finish(unbuilt, reader);
    }

    /// [`Fields::done`] for a caller that only borrows them.
    pub(crate) fn finish(&mut self, unbuilt: &[&str], reader: &mut Reader) {
        #[cfg(test)]
        {
            reader.asked.insert(self.path.clone());
            reader.asked.extend(self.known.iter().map(|key| self.path_of(key)));
        }
        for entry in self.entries.iter().filter(|e| !self.known.contains(&&*e.key)) {
            let path = self.path_of(&entry.key);
            let mut names = self.known.clone();
            names.sort_unstable();
            names.dedup();
            if unbuilt.contains(&&*entry.key) {
                let found = format!("`{}`, which is not built yet", entry.key);
                let expected = "a plan without it";
                reader.fault(FaultKind::NotBuilt, entry.place, &path, found, expected);
                reader.hint("a key that does nothing is refused rather than ignored: remove it");
            } else {
                let found = format!("the unknown key {}", quoted(&entry.key));
                let expected = one_of(&names);
                reader.fault(FaultKind::UnknownKey, entry.place, &path, found, expected);
                reader.suggest(&entry.key, &names);
            }
        }
    }
}
