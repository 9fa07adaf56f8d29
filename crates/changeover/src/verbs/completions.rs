//! `completions`: for the user's shell.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::exit;

pub(super) fn run(args: &Completions) -> u8 {
    let mut command = Cli::command();
    clap_complete::generate(args.shell, &mut command, "changeover", &mut std::io::stdout());
    exit::OK
}
