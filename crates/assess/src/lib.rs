//! What is known of both sides, what could go wrong, and what to do about it (L1).
//!
//! The shells gather an [`Inventory`]: values with their source and time, or the reason why one
//! could not be had. [`assess`] judges it with the catalogue of [`CHECKS`], each a pure function.
//! A fact that is not known makes a check *unknown*, never passed. Reading order: [`Fact`],
//! [`Inventory`], [`Check`] and [`Finding`].

mod answers;
pub mod certificate;
mod check;
mod checks;
pub mod draft;
mod fact;
mod finding;
pub mod hints;
pub mod inventory;
pub mod map;
pub mod register;
pub mod report;
mod words;

pub use check::{Check, Found, Owner, Verdict};
pub use checks::CHECKS;
pub use fact::{Fact, Value};
pub use finding::{Assessment, Outcome, Score, Severity, Status, assess};
pub use inventory::Inventory;
pub use register::Finding;
