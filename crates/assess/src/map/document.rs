//! The map as a versioned document.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Discovery, Map, SourceKind, Unread};
use crate::hints::Hint;

/// Version of the JSON document. It grows when a field changes its meaning or goes away.
pub const MAP_VERSION: u32 = 1;

/// What `--map FILE.json` writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapDocument<'a> {
    /// What this is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its version.
    pub version: u32,
    /// The map.
    #[serde(flatten)]
    pub map: &'a Map,
    /// What was noticed beside it.
    pub hints: &'a [Hint],
    /// What could not be read.
    pub unread: &'a [Unread],
    /// What was looked at.
    pub read: &'a BTreeMap<String, SourceKind>,
}

impl<'a> MapDocument<'a> {
    /// Wraps a map.
    #[must_use]
    pub fn new(map: &'a Map, found: &'a Discovery) -> Self {
        MapDocument {
            kind: "changeover-map",
            version: MAP_VERSION,
            map,
            hints: &found.hints,
            unread: &found.unread,
            read: &found.read,
        }
    }
}
