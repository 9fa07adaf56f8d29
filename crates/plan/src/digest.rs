//! Tells a changed plan from the same one.

use sha2::{Digest, Sha256};

use crate::node::{Node, Shape};

struct Hash(Sha256);

impl Hash {
    fn new() -> Hash {
        Hash(Sha256::new())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The length first, so that neighbours cannot run into each other.
    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_be_bytes());
        self.bytes(text.as_bytes());
    }

    fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// SHA-256, in hex digits, over the tree's meaning: keys sorted, no comments, no style. What the plan includes
/// is part of what it means.
pub(crate) fn digest<'a>(root: &Node, included: impl Iterator<Item = &'a Node>) -> String {
    let mut hash = Hash::new();
    add(root, &mut hash);
    included.for_each(|node| add(node, &mut hash));
    hash.hex()
}

/// SHA-256, in hex digits, over some texts in order. Approvals are bound to it.
#[must_use]
pub fn fingerprint(texts: &[&str]) -> String {
    let mut hash = Hash::new();
    texts.iter().for_each(|text| hash.text(text));
    hash.hex()
}

// The tree is at most 32 levels deep (`node`), so recursion is safe.
fn add(node: &Node, hash: &mut Hash) {
    match &node.shape {
        Shape::Null => hash.bytes(b"n"),
        Shape::Text(text) => {
            hash.bytes(b"t");
            hash.text(text);
        }
        Shape::List(items) => {
            hash.bytes(b"l");
            hash.bytes(&(items.len() as u64).to_be_bytes());
            items.iter().for_each(|item| add(item, hash));
        }
        Shape::Map(entries) => {
            hash.bytes(b"m");
            hash.bytes(&(entries.len() as u64).to_be_bytes());
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            for entry in entries {
                hash.text(&entry.key);
                add(&entry.value, hash);
            }
        }
    }
}

/// The same over a tree and the digests of what it refers to.
pub(crate) fn joined<'a>(root: &Node, others: impl Iterator<Item = &'a str>) -> String {
    let mut hash = Hash::new();
    hash.text(&digest(root, std::iter::empty()));
    others.for_each(|other| hash.text(other));
    hash.hex()
}
