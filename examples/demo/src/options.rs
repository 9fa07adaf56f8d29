//! What the command line and the environment say.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Parser, ValueEnum};

/// Moves a live shop from one PostgreSQL cluster to another, and counts.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Requests a second, sent whether or not earlier ones were answered.
    #[arg(long, env = "RATE", default_value_t = 200)]
    pub(crate) rate: u32,
    /// Go back after writes have happened on green.
    #[arg(long, env = "ROLLBACK", value_parser = FalseyValueParser::new())]
    pub(crate) rollback: bool,
    /// What the new version is like. A bad one must be found at the canary and rolled back.
    #[arg(long, env = "GREEN", value_enum, default_value_t = Green::Good)]
    pub(crate) green: Green,
    /// The plan whose addresses are replaced by free ones.
    #[arg(long, default_value = "demo/plan.yaml")]
    pub(crate) plan: PathBuf,
    /// Where logs and the summary go.
    #[arg(long, default_value = "target/demo")]
    pub(crate) out: PathBuf,
    /// No move: the load straight onto one shop and one cluster. Tries the load and the checks.
    #[arg(long)]
    pub(crate) direct: bool,
    /// With --direct: how long the load lasts, in seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// With --direct: copy blue to green with pg_dump after the load, so that rows are compared.
    #[arg(long)]
    pub(crate) dump: bool,
    /// With --direct: damage the data before the checks, which then must fail.
    #[arg(long, value_delimiter = ',')]
    pub(crate) spoil: Vec<Spoil>,
}

/// What the new version is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Green {
    /// As good as the old one.
    Good,
    /// One request in a hundred fails.
    Broken,
    /// Every request takes 40 % longer.
    Slow,
}

impl Green {
    /// The shop's own word for it.
    #[must_use]
    pub(crate) fn fault(self) -> Option<&'static str> {
        match self {
            Green::Good => None,
            Green::Broken => Some("broken"),
            Green::Slow => Some("slow"),
        }
    }
}

/// A way to damage the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spoil {
    /// An acknowledged order is gone.
    LostOrder,
    /// An acknowledged order has lost a line: its transaction was torn.
    TornOrder,
    /// An order is there twice.
    DoubledOrder,
    /// An order nobody sent.
    InventedOrder,
    /// An acknowledged update of a customer is gone.
    LostTouch,
    /// An update of a customer was made twice.
    DoubledTouch,
    /// An acknowledged cart, written once, is gone.
    LostCart,
    /// One row of green differs from blue's (needs --dump).
    ChangedRow,
    /// One row of green is missing (needs --dump).
    MissingRow,
}
