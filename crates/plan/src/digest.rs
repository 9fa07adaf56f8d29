//! Tells a changed plan from the same one.

use crate::node::{Node, Shape};

/// FNV-1a with 128 bits.
struct Fnv(u128);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u128::from(*byte);
            self.0 = self.0.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B);
        }
    }

    /// The length first, so that neighbours cannot run into each other.
    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_be_bytes());
        self.bytes(text.as_bytes());
    }
}

/// 32 hex digits over the tree's meaning: keys sorted, no comments, no style. What the plan includes
/// is part of what it means.
pub(crate) fn digest<'a>(root: &Node, included: impl Iterator<Item = &'a Node>) -> String {
    let mut hash = Fnv::new();
    add(root, &mut hash);
    included.for_each(|node| add(node, &mut hash));
    format!("{:032x}", hash.0)
}

/// 32 hex digits over some texts in order. For telling changed facts from the same ones, not for
/// security.
#[must_use]
pub fn fingerprint(texts: &[&str]) -> String {
    let mut hash = Fnv::new();
    texts.iter().for_each(|text| hash.text(text));
    format!("{:032x}", hash.0)
}

// The tree is at most 32 levels deep (`node`), so recursion is safe.
fn add(node: &Node, hash: &mut Fnv) {
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
    let mut hash = Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    hash.text(&digest(root, std::iter::empty()));
    others.for_each(|other| hash.text(other));
    format!("{:032x}", hash.0)
}
