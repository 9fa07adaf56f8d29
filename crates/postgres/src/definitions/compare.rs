//! What changed between two readings, object by object, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Definitions, Key};

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its kind in words.
    pub class: String,
    /// What it belongs to, if it does not stand by itself.
    pub of: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Object { class, of, name } = self;
        match class.as_str() {
            "index" => write!(f, "{class} {name}"),
            "column" => write!(f, "{class} {of}.{name}"),
            "comment" => write!(f, "{class} on {of}"),
            "setting" => write!(f, "{class} {name} of {of}"),
            _ if name.is_empty() => f.write_str(class),
            _ if of.is_empty() || class == "statistics" => write!(f, "{class} {name}"),
            _ => write!(f, "{class} {name} on {of}"),
        }
    }
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was not there.
    New,
    /// It is not there any more.
    Gone,
    /// These items differ: name, old and new value.
    Changed(Vec<(String, Option<String>, Option<String>)>),
}

/// An object that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub object: Object,
    /// What became of it.
    pub what: What,
}

impl Change {
    /// Whether it is only about whose the object is and who may use it.
    #[must_use]
    pub fn is_of_rights(&self) -> bool {
        let rights = |item: &str| matches!(item, "owner" | "privileges");
        self.object.class == "default privileges"
            || matches!(&self.what, What::Changed(items) if items.iter().all(|(it, ..)| rights(it)))
    }

    /// Whether somebody may do more with the object than before, and nothing else changed.
    #[must_use]
    pub fn grants_more(&self) -> bool {
        let What::Changed(items) = &self.what else { return false };
        let signed = |text: &Option<String>, sign: char| -> BTreeSet<String> {
            let all = single_grants(text.as_deref().unwrap_or_default());
            all.into_iter().filter(|grant| grant.starts_with(sign)).collect()
        };
        items.iter().all(|(item, old, new)| {
            item == "privileges"
                && signed(old, '+').is_subset(&signed(new, '+'))
                && signed(new, '-').is_subset(&signed(old, '-'))
        })
    }

    /// In the words for two sides at one time: the first has it, the second is asked.
    #[must_use]
    pub fn between_sides(&self) -> String {
        match &self.what {
            What::New => format!("{}: not expected", self.object),
            What::Gone => format!("{}: missing", self.object),
            What::Changed(items) => {
                let items: Vec<&str> = items
                    .iter()
                    .map(|(item, ..)| if item.is_empty() { "definition" } else { item })
                    .collect();
                format!("{}: {} differs", self.object, items.join(", "))
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        let items = match &self.what {
            What::New => return f.write_str("new"),
            What::Gone => return f.write_str("gone"),
            What::Changed(items) => items,
        };
        for (at, (item, old, new)) in items.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            f.write_str(if item.is_empty() { "definition" } else { item })?;
            match (old.as_deref(), new.as_deref()) {
                (Some(old), Some(new)) if !old.starts_with('#') => {
                    write!(f, " was {}, is {}", short(old), short(new))?;
                }
                (None, Some(new)) if !new.starts_with('#') => {
                    write!(f, " is {}", short(new))?;
                }
                (None, Some(_)) => f.write_str(" set")?,
                (Some(old), None) if !old.starts_with('#') => {
                    write!(f, " {} is gone", short(old))?;
                }
                (Some(_), None) => f.write_str(" gone")?,
                _ => f.write_str(" changed")?,
            }
        }
        Ok(())
    }
}

/// What an access list's text grants, one by one: of `+app INSERT/SELECT, -PUBLIC USAGE` the parts
/// `+app INSERT`, `+app SELECT`, `-PUBLIC USAGE`.
fn single_grants(text: &str) -> Vec<String> {
    let of_role = |line: &str| -> Vec<String> {
        let first = line.split('/').next().unwrap_or_default();
        let option = first.strip_suffix(GRANTABLE).unwrap_or(first);
        let Some((role, _)) = option.rsplit_once(' ') else { return vec![line.to_owned()] };
        let rest = line.get(role.len() + 1..).unwrap_or_default();
        rest.split('/').map(|privilege| format!("{role} {privilege}")).collect()
    };
    text.split(", ").filter(|line| !line.is_empty()).flat_map(of_role).collect()
}

/// What follows a privilege that may be passed on.
const GRANTABLE: &str = " with grant option";

/// Long values, such as a list of labels, are cut.
fn short(value: &str) -> String {
    const LONGEST: usize = 80;
    if value.is_empty() {
        return "plain".to_owned();
    }
    match value.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value.to_owned(),
    }
}

/// What changed between two readings of one side. Parts of what is new or gone are not named again.
#[must_use]
pub fn changes(old: &Definitions, new: &Definitions) -> Vec<Change> {
    let keys: BTreeSet<&Key> = old.facts.keys().chain(new.facts.keys()).collect();
    let differing: Vec<&Key> =
        keys.into_iter().filter(|key| old.facts.get(key) != new.facts.get(key)).collect();
    let whole = whole(&differing, &old.facts, &new.facts);
    of_keys(&differing, &whole, &old.facts, &new.facts)
}

/// The objects that are new or gone as a whole, by name.
pub(super) fn whole(
    differing: &[&Key],
    old: &BTreeMap<Key, String>,
    new: &BTreeMap<Key, String>,
) -> BTreeSet<String> {
    let came_or_went = |key: &Key| old.get(key).is_none() || new.get(key).is_none();
    differing
        .iter()
        .filter(|key| key.of.is_empty() && key.item.is_empty() && came_or_went(key))
        .map(|key| key.name.clone())
        .collect()
}

/// Whether the object belongs to one of these.
fn is_part(object: &Object, whole: &BTreeSet<String>) -> bool {
    let said_of = |name: &String| {
        object.of.strip_suffix(name.as_str()).is_some_and(|kind| kind.ends_with(' '))
    };
    whole.contains(&object.of)
        || (matches!(object.class.as_str(), "comment" | "security label")
            && whole.iter().any(said_of))
}

/// The changes of these facts, without parts of what is new or gone as a whole.
pub(super) fn of_keys(
    keys: &[&Key],
    whole: &BTreeSet<String>,
    old: &BTreeMap<Key, String>,
    new: &BTreeMap<Key, String>,
) -> Vec<Change> {
    let mut objects: BTreeMap<Object, What> = BTreeMap::new();
    for key in keys {
        let object =
            Object { class: key.class.clone(), of: key.of.clone(), name: key.name.clone() };
        let (was, is) = (old.get(key), new.get(key));
        if key.item.is_empty() && (was.is_none() || is.is_none()) {
            let what = if was.is_none() { What::New } else { What::Gone };
            objects.insert(object, what);
            continue;
        }
        if let What::Changed(items) =
            objects.entry(object).or_insert_with(|| What::Changed(Vec::new()))
        {
            items.push((key.item.clone(), was.cloned(), is.cloned()));
        }
    }
    objects
        .into_iter()
        .filter(|(object, _)| !is_part(object, whole))
        .map(|(object, what)| Change { object, what })
        .collect()
}
