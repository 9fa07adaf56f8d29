//! Following a stream between real servers: every kind of change, every way to die.

mod alignment;
mod deaths;
mod dropping;
mod keys;
mod kinds;
mod load;
mod order;
mod proxy;
mod segments;
mod world;
