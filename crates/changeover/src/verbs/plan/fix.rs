//! The statements that mend what was found, as one script with a part for each side.

use std::fs;
use std::path::Path;

use changeover_engine::Report;
use changeover_plan::document::{Document, Risk};

use super::show::plain;
use crate::output::Output;

/// The command that writes the script.
pub(super) fn beside(document: &Document) -> String {
    format!("changeover plan {} --fix fix.sql", document.file)
}

/// Writes the script.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write(document: &Document, file: &Path, output: &Output) -> Result<(), Report> {
    fs::write(file, script(document)).map_err(|e| {
        Report::new("CO0059", format!("the script {} cannot be written", file.display()))
            .because(&e)
    })?;
    output.emit("written", &serde_json::json!({"file": file}));
    output.note(format!("wrote {}; read it before you run it", file.display()));
    Ok(())
}

fn script(document: &Document) -> String {
    let mut text = format!(
        "-- What mends the risks of {} that a statement can mend, as found at {}.\n\
         -- Each part is for the database of its side. Read it first: some need a superuser, some\n\
         -- rewrite or lock a table.\n",
        one_line(&document.file),
        document.at
    );
    let risks = || document.risks.iter().flatten().filter(|it| it.severity != "accepted");
    for side in ["source", "target"] {
        let mended: Vec<&Risk> = risks()
            .filter(|risk| risk.side.as_deref() == Some(side) && !risk.script.is_empty())
            .collect();
        text += &format!("\n-- ==== on the {side} ====\n");
        if mended.is_empty() {
            text += "-- nothing\n";
        }
        for risk in mended {
            let (id, what) = (&risk.id, one_line(&risk.what));
            text += &format!("\n-- {id}, {side}, {}: {what}\n", risk.severity);
            risk.script.iter().for_each(|statement| text += &format!("{statement}\n"));
        }
    }
    let by_hand: Vec<&Risk> =
        risks().filter(|it| it.script.is_empty() && !it.mitigation.is_empty()).collect();
    if !by_hand.is_empty() {
        text += "\n-- ==== what no statement of ours mends ====\n";
    }
    for risk in by_hand {
        let (id, what, fix) = (&risk.id, one_line(&risk.what), one_line(&risk.mitigation));
        text += &format!("-- {id}: {what}\n--   {fix}\n");
    }
    text
}

/// A name may hold a line break: none of it may leave its comment.
fn one_line(text: &str) -> String {
    plain(&text.replace('\n', " "))
}
