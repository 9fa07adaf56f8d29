//! World, models and seeds that drive the cores (development only).
//!
//! [`cutover_world`] is a world of two databases, their change streams, delayed commits, crashes
//! and outside resolvers, in which the shipping `changeover_cutover` machine is driven; the test
//! `cutover_model` lets a checker visit every state of it. [`program_world`] is the same for a program
//! of several migrations whose daemons fail, and `program_model` its test. [`run_shell`] is what the
//! models of a single run, `run_model` and `control_model`, have in common.

pub mod cutover_world;
pub mod program_world;
pub mod run_shell;
