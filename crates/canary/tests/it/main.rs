//! The canary's verdict: golden values, exact probabilities, and whole canaries.

mod bursts;
mod golden;
mod judging;
mod outside;
mod world;
