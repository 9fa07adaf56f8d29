//! JUnit, the XML that every test runner writes and every build server reads.

mod read;
mod write;

pub use read::{NotJunit, Test, read};
pub use write::{Suite, write};
