//! The dependency map: what is there, what leans on what, and in which order it could move.
//!
//! Discovery hands over an [`Discovery`]: sightings of components and links between names, each
//! with its [`Evidence`]. [`build`] merges the sightings of one component, resolves the links and
//! finds cycles, groups and a move order. Reading order: `name` (how things are called and which
//! names mean the same), `found` (the input), `merge` (the rule), `order`, then the outputs
//! `mermaid` and [`svg()`]; JSON is [`MapDocument`].

mod candidates;
mod cycles;
mod document;
mod endpoint;
mod evidence;
mod found;
mod layout;
mod merge;
mod mermaid;
mod name;
mod nodes;
mod order;
mod svg;
mod together;

pub use candidates::{Candidate, candidates};
pub use document::{MAP_VERSION, MapDocument};
pub use endpoint::Endpoint;
pub use evidence::{Evidence, Sight};
pub use found::{Component, Discovery, Kind, Link, Relation, SourceKind, Trait, Unread};
pub use merge::{Edge, Map, Node, NodeId, build};
pub use mermaid::mermaid;
pub use name::{Name, Scope};
pub use order::Place;
pub use svg::svg;
pub use together::Together;

#[cfg(test)]
mod tests;
