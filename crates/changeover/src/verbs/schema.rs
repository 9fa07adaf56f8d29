//! `schema`: the JSON Schema of the plan file, for editors.

use std::fs;
use std::io::Write;

use changeover_engine::Report;

use crate::cli::{SchemaArgs, SchemaOf};
use crate::exit;
use crate::output::Output;

/// The file that the plans written by `init` name, beside them.
pub(super) const FILE: &str = "changeover.schema.json";

pub(super) fn run(args: &SchemaArgs, output: &Output) -> Result<u8, Report> {
    let text = match args.of {
        SchemaOf::Plan => changeover_plan::schema(),
        SchemaOf::Program => changeover_plan::program_schema(),
    };
    let Some(file) = &args.out else {
        if output.is_json() {
            let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
            output.emit("schema", &serde_json::json!({"schema": value}));
        } else {
            // A reader that went away is no fault of ours.
            std::io::stdout().write_all(text.as_bytes()).ok();
        }
        return Ok(exit::OK);
    };
    fs::write(file, text).map_err(|e| {
        Report::new("CO0027", format!("the schema {} cannot be written", file.display()))
            .because(&e)
    })?;
    output.emit("written", &serde_json::json!({"file": file}));
    output.line(format!("wrote {}", file.display()));
    Ok(exit::OK)
}
