//! Each record's hash covers the one before it; the first covers the plan.

use sha2::{Digest, Sha256};

use crate::{Meta, SCHEMA_VERSION};

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// What the first record builds on.
pub(crate) fn start(meta: &Meta) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"changeover journal");
    hash.update(SCHEMA_VERSION.to_be_bytes());
    for text in [meta.migration.as_str(), &meta.run_id, &meta.plan_digest, &meta.plan_text] {
        add(&mut hash, text);
    }
    hash.finalize().into()
}

/// The hash of a record, over the text that is stored.
pub(crate) fn next(before: &Hash, seq: i64, at: i64, kind: &str, body: &str) -> Hash {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(seq.to_be_bytes());
    hash.update(at.to_be_bytes());
    add(&mut hash, kind);
    add(&mut hash, body);
    hash.finalize().into()
}

/// The length first, so that neighbours cannot run into each other.
fn add(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}
