//! Results to standard output, everything else to standard error; or NDJSON for programs.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use changeover_engine::Report;
use serde::Serialize;
use serde_json::json;

use crate::naming::Naming;

/// The version of the NDJSON lines.
const OUTPUT_VERSION: u32 = 1;

/// How a verb speaks.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    naming: Naming,
}

impl Output {
    /// For people, or for programs; the latter begins with a line that names the version.
    pub(crate) fn new(json: bool, naming: Naming) -> Output {
        let output = Output { json, naming };
        let version = env!("CARGO_PKG_VERSION");
        output.emit("version", &json!({"changeover": version, "output": OUTPUT_VERSION}));
        output
    }

    /// Whether programs read along.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A line of the result, for people.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            // A reader that went away (`| head`) is no fault of ours.
            writeln!(anstream::stdout(), "{}", self.naming.text(text.as_ref())).ok();
        }
    }

    /// A line on the way to the result, for people.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.json {
            writeln!(anstream::stderr(), "{}", self.naming.text(text.as_ref())).ok();
        }
    }

    /// A line for programs: the value's fields after its type.
    pub(crate) fn emit(&self, kind: &str, value: &impl Serialize) {
        if self.json {
            let mut line = json_line(kind, value);
            self.naming.value(&mut line);
            writeln!(std::io::stdout().lock(), "{line}").ok();
        }
    }

    /// Something did not work.
    pub(crate) fn report(&self, report: &Report) {
        let Report { code, headline, chain, hints, exit } = report;
        self.emit(
            "error",
            &json!({"code": code, "headline": headline, "chain": chain, "hints": hints, "exit": exit}),
        );
        self.note(show_report(report));
    }
}

/// A line for programs, as [`Output::emit`] writes it.
pub(crate) fn json_line(kind: &str, value: &impl Serialize) -> serde_json::Value {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(mut fields)) => {
            fields.insert("type".to_owned(), json!(kind));
            serde_json::Value::Object(fields)
        }
        Ok(other) => json!({"type": kind, "value": other}),
        Err(error) => json!({"type": "error", "headline": error.to_string()}),
    }
}

/// Headline, causes, and what to do.
fn show_report(report: &Report) -> String {
    let (red, dim, green) = (paint(AnsiColor::Red), Style::new().dimmed(), paint(AnsiColor::Green));
    let mut text = format!("{red}error{red:#} [{}]: {}", report.code, report.headline);
    for cause in &report.chain {
        text += &format!("\n  {dim}because{dim:#} {}", cause.replace('\n', "\n  "));
    }
    for hint in &report.hints {
        text += &format!("\n  {green}next{green:#}    {hint}");
    }
    text
}

/// A bold colour.
pub(crate) fn paint(colour: AnsiColor) -> Style {
    colour.on_default().bold()
}

/// Asks a person for a yes. Without a terminal the answer is the refusal to guess.
///
/// # Errors
/// If nobody can be asked, or the answer is no.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Report> {
    if yes {
        return Ok(());
    }
    let answer = ask(&format!("{question} [y/N] "))?;
    if matches!(answer.as_str(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Report::new("CO0003", "left as it was, for the answer was not yes"))
}

/// Asks a person for a word.
///
/// # Errors
/// If nobody can be asked.
pub(crate) fn ask(question: &str) -> Result<String, Report> {
    if !std::io::stdin().is_terminal() {
        return Err(Report::new("CO0002", "this has to be confirmed, and nobody can be asked")
            .cause("standard input is not a terminal")
            .hint("give --yes"));
    }
    let fault = |e: std::io::Error| Report::new("CO0002", "the answer cannot be read").because(&e);
    let mut stderr = anstream::stderr();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(fault)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(fault)?;
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_cause_and_next_step() {
        let report = Report::new("CO0001", "no way").cause("a wall").hint("changeover plan x");
        let text = anstream::adapter::strip_str(&show_report(&report)).to_string();
        assert_eq!(text, "error [CO0001]: no way\n  because a wall\n  next    changeover plan x");
    }

    #[test]
    fn a_json_line_carries_its_type() {
        assert_eq!(json_line("a", &json!({"x": 1})), json!({"type": "a", "x": 1}));
        assert_eq!(json_line("a", &json!([1])), json!({"type": "a", "value": [1]}));
    }
}
