//! `init`: writes a commented plan.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use changeover_engine::Report;
use changeover_plan::{TemplateKind, template};

use crate::cli::{Init, Kind};
use crate::exit;
use crate::output::Output;

pub(super) fn run(args: &Init, output: &Output) -> Result<u8, Report> {
    let kind = match args.kind {
        Kind::Service => TemplateKind::Service,
        Kind::Database => TemplateKind::Database,
        Kind::Http => TemplateKind::Http,
    };
    let file = args.file.display();
    let schema = super::schema::FILE;
    let text = format!("# yaml-language-server: $schema={schema}\n{}", template(kind));
    // Never over an existing file: a plan is work.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.file)
        .and_then(|mut it| it.write_all(text.as_bytes()));
    written.map_err(|e| {
        let report =
            Report::new("CO0020", format!("the plan {file} cannot be written")).because(&e);
        match e.kind() {
            ErrorKind::AlreadyExists => report.hint("give another name: changeover init FILE"),
            _ => report,
        }
    })?;
    output.emit("written", &serde_json::json!({"file": args.file}));
    output.line(format!("wrote {file}; edit it, then check it with: changeover plan {file}"));
    let beside = args.file.with_file_name(schema);
    if !beside.exists() {
        let beside = beside.display();
        output.line(format!("for completion in your editor: changeover schema --out {beside}"));
    }
    Ok(exit::OK)
}
