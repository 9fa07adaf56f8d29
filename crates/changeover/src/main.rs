//! The changeover binary: verbs, rendering, exit codes, hints (L4).
//!
//! It decides nothing about a migration. A verb reads the plan, asks the engine or its daemon, and
//! shows the answer; each is one file below `verbs`.

mod cli;
mod earlier;
mod exit;
mod follow;
mod migration;
mod naming;
mod output;
mod program;
mod progress;
mod verbs;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::naming::Naming;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let output = Output::new(cli.global.json, Naming::of(&cli.verb, &cli.global));
    match verbs::run(cli, &output) {
        Ok(code) => ExitCode::from(code),
        Err(report) => {
            output.report(&report);
            ExitCode::from(report.exit)
        }
    }
}
