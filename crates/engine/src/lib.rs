//! Composition: config → build → supervise; performs the effects the cores ask for (L3).

pub mod client;
pub mod protocol;
mod report;

use std::path::Path;

use changeover_plan::Plan;

pub use report::Report;
