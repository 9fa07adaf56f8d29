//! `gate` of a program: a process for each component that has gates.

use changeover_engine::Report;

use super::Programmed;
use crate::exit;

pub(super) fn run(programmed: &Programmed) -> Result<u8, Report> {
    changeover_engine::gates_of_program(&programmed.files)?;
    Ok(exit::OK)
}
