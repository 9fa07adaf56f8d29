//! What goes wrong around a migration, and what an operator is told of it: each test ends in a
//! safe state, with words that name the side, the object and what to do.

mod blocked;
mod disk;
mod drift;
mod killed;
mod plans;
pub(crate) mod program;
mod refusals;
mod rewriters;
mod secrets;
mod servers;
mod silent;
mod state_folder;
