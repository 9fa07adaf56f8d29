//! The demo: two PostgreSQL clusters, the shop in two versions, a constant load through both
//! gates, and a live move of all of it; then a count of every write and every row.
//!
//! The main thread starts all processes (they die with it); the load has a thread of its own.

mod changeover;
mod check;
mod children;
mod direct;
mod load;
mod movement;
mod options;
mod plan_file;
mod reaper;
mod signals;
mod spoil;
mod stage;
mod summary;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::options::Options;
use crate::reaper::Reaper;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == reaper::WORD) {
        reaper::run();
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let outcome = Reaper::start().and_then(|reaper| {
        let reaper = Arc::new(reaper);
        signals::end_cleanly_on_signal(reaper.clone())?;
        let outcome = if options.direct {
            direct::run(&options, &reaper)
        } else {
            movement::run(&options, &reaper)
        };
        reaper.finish();
        outcome
    });
    match outcome {
        Ok(summary) if summary.is_good() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(why) => {
            eprintln!("changeover-demo: {why}");
            ExitCode::from(2)
        }
    }
}
