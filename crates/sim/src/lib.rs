//! World, models and seeds that drive the cores (development only).
//!
//! [`cutover_world`] is a world of two databases, their change streams, delayed commits, crashes
//! and outside resolvers, in which the shipping `changeover_cutover` machine is driven; the test
//! `cutover_model` lets a checker visit every state of it.

pub mod cutover_world;
