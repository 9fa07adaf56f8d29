//! The JSON Schemas of plans and programs, for editors. What it says of keys and the reader's own questions are
//! compared in the tests, so neither can know a key that the other does not.

/// The JSON Schema (draft 2020-12) of a plan file.
#[must_use]
pub fn schema() -> &'static str {
    include_str!("schema/plan.schema.json")
}

/// The same of a program file. What it shares with a plan's is compared in the tests.
#[must_use]
pub fn program_schema() -> &'static str {
    include_str!("schema/program.schema.json")
}

#[cfg(test)]
mod program;
#[cfg(test)]
mod tests;
