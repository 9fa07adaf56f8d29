//! Checks as steps of a run: what they find, what that makes happen, and what a kill leaves.

mod killed;
mod load;
mod mirror;
mod run;
pub(crate) mod site;
mod smoke;
mod sql;
