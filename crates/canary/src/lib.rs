//! The verdict on a canary (L1): is the target worse than the source?
//!
//! The gate throws a coin for every request, so nothing needs to be known about the traffic. Take
//! the bad requests only and ask of each: was it on the target? If the target is not worse, then
//! given that a request is bad and that the coin said "target" with probability `w`, the answer is
//! yes with probability at most `w`, whatever shared burst, rush hour or slow dependency made it
//! bad. The evidence against that ([`Evidence`]) is a bet whose wealth cannot be expected to grow
//! while the target is not worse. By Ville's inequality it ever reaches `1/α` with probability at
//! most `α`, however often one looks.
//!
//! The odds: when the target fails `θ` times as often, a bad request is on the target with
//! probability `p(θ) = wθ / (wθ + 1 − w)`. A bet on `θ` multiplies its wealth at each bad request
//! by `p(θ)/p(1)` if it was on the target, by `(1 − p(θ))/(1 − p(1))` if not:
//! `θ^A / (wθ + 1 − w)` with `A` = 1 or 0. A [`Grid`] of θ is bet on at the same time.
//!
//! What the claim needs: the coin is independent of everything that happens to the request (each
//! request, or with a sticky cookie each user, is drawn by itself); a request is decided at one
//! fixed age on both sides; and the target is not worse *at any moment, given the past*. A pause of
//! one process of the target is a real effect of the label, which is why a small target is judged
//! with a [`Guard`]. Not covered: a target that hurts the source (a shared
//! database); that is what absolute objectives are for.
//!
//! Sources: Ville 1939; the label e-process after Lindon, Sanden & Shirikian (KDD 2022, arXiv
//! 2205.14762); several streams by Bonferroni and not by averaging, for they live in different
//! filtrations (Choe & Ramdas, arXiv 2402.09698). `docs/benchmarks.md` has the simulations.
//!
//! Reading order: [`Grid`], [`Evidence`], [`Limits`] (what "slow" means), [`Harmless`] (proof that
//! it is not worse), [`Judge`] (all of it over a canary's life). [`Switched`] judges where there is
//! no concurrent source, and [`Paired`] judges metrics from outside, which can only object; both
//! claim less.

mod breaker;
mod evidence;
mod grid;
mod harmless;
mod histogram;
mod judge;
mod limits;
mod outside;
mod rules;
mod stream;
mod switched;
mod verdict;

pub use breaker::Breaker;
pub use evidence::{Evidence, Guard};
pub use grid::Grid;
pub use harmless::{Harmless, Rate};
pub use judge::Judge;
pub use limits::Limits;
pub use outside::{OutsideRule, Paired, Silence};
pub use rules::Rules;
pub use stream::{Bad, Stream, StreamName};
pub use switched::{SwitchRules, Switched};
pub use verdict::{Alarm, Cause, Figures, Verdict};
