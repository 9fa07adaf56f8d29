//! Files that a plan names and that are part of what it means.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{Field, Reader};
use crate::fault::FaultKind;
use crate::node::{self, Node, Shape};

/// Text, or why there is none, by the name that the plan gives the file.
pub type Includes = BTreeMap<String, Result<String, String>>;

/// Steps that may name a file which is part of the plan.
const STEPS: &[&str] = &["smoke"];
/// More of them than this are not asked for.
const FILES_MAX: usize = 64;

/// A file that the plan named.
pub(crate) struct Included {
    pub(crate) name: String,
    pub(crate) text: String,
    /// `None` if it is no YAML, which is a fault by then.
    pub(crate) root: Option<Arc<Node>>,
}

/// The files that belong to a plan, by the names it gives them; relative ones start at its folder.
#[must_use]
pub fn includes(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(root) = node::build(text, &mut Reader::default()) {
        find(&root, &mut names);
    }
    names.truncate(FILES_MAX);
    names
}

// The tree is at most 32 levels deep (`node`), so recursion is safe.
fn find(node: &Node, names: &mut Vec<String>) {
    match &node.shape {
        Shape::Null | Shape::Text(_) => {}
        Shape::List(items) => items.iter().for_each(|item| find(item, names)),
        Shape::Map(entries) => {
            for entry in entries {
                if STEPS.contains(&&*entry.key)
                    && let Some(name) = file_of(&entry.value)
                    && !names.contains(name)
                {
                    names.push(name.clone());
                }
                find(&entry.value, names);
            }
        }
    }
}

fn file_of(step: &Node) -> Option<&String> {
    let Shape::Map(entries) = &step.shape else { return None };
    match &entries.iter().find(|entry| entry.key == "file")?.value.shape {
        Shape::Text(name) => Some(name),
        _ => None,
    }
}

/// How a fault names an included file: as the plan was named.
pub(super) fn shown(plan: &str, name: &str) -> String {
    let folder = Path::new(plan).parent().unwrap_or(Path::new(""));
    folder.join(name).display().to_string()
}

impl Reader {
    /// Reads the file that a field names and gives its root to `read`, whose faults are about that
    /// file.
    pub(crate) fn include<T>(
        &mut self,
        field: &Field<'_>,
        read: impl FnOnce(&Field<'_>, &mut Reader) -> Option<T>,
    ) -> Option<T> {
        let expected = "a file beside the plan, like smoke.yaml";
        let name = self.text(field, expected)?.to_owned();
        let text = match self.files.get(&name) {
            Some(Ok(text)) => text.clone(),
            Some(Err(why)) => {
                let found = format!("`{name}`, which cannot be read: {why}");
                self.fault(FaultKind::WrongValue, field.place(), &field.path, found, expected);
                return None;
            }
            None => {
                let found = format!("`{name}`, which was not brought along");
                self.fault(FaultKind::WrongValue, field.place(), &field.path, found, expected);
                return None;
            }
        };
        let before = self.source;
        self.included.push(Included { name, text: text.clone(), root: None });
        let at = self.included.len();
        self.source = at;
        let root = node::build(&text, self).map(Arc::new);
        self.included[at - 1].root.clone_from(&root);
        let value = root.and_then(|root| read(&Field { node: &root, path: String::new() }, self));
        self.source = before;
        value
    }
}
