//! The canary's verdict: golden values, exact probabilities, and whole canaries.

mod golden;
mod judging;
mod outside;
mod world;
