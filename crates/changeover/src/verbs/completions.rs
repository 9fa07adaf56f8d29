//! `completions`: for the user's shell.

use std::io::Write;

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::exit;

pub(super) fn run(args: &Completions) -> u8 {
    let mut command = Cli::command();
    // Into memory first: the generator panics when a reader goes away (`| head`).
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "changeover", &mut script);
    std::io::stdout().write_all(&script).ok();
    exit::OK
}
