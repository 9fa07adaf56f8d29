//! Plans as their users write them.

mod faults;
mod hostile;
mod programs;
mod routes;
mod sound;
