//! Inputs that other tools, or an earlier version of this one, failed on.

mod early_writes;
mod limits;
mod objects;
mod register;
mod restoring;
mod sessions;
mod surroundings;
mod trial;
mod type_numbers;
mod way_back;
