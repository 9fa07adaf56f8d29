//! An assessment as documents: pure text and values, written by the shell.

mod catalogue;
mod facts;
mod markdown;
mod sarif;

pub use catalogue::catalogue;
pub use facts::{FactLine, summary};
pub use markdown::markdown;
pub use sarif::sarif;
