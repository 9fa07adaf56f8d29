//! `assess`: what is there, what could go wrong, and what to do about it. Changes nothing.

pub(super) mod around;
pub(super) mod given;
mod human;
mod report;

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use changeover_assess::{Assessment, Inventory, Outcome, Severity, assess};
use changeover_engine::Report;
use changeover_engine::preflight::rules;
use changeover_types::WallMs;
use serde_json::json;

use crate::cli::{Assess, FailOn, Global};
use crate::output::Output;
use crate::{exit, follow};

pub(super) fn run(args: &Assess, global: &Global, output: &Output) -> Result<u8, Report> {
    if args.catalogue {
        let catalogue = changeover_assess::report::catalogue(&rules());
        output.emit("catalogue", &json!({"markdown": catalogue}));
        output.line(catalogue.trim_end());
        return Ok(exit::OK);
    }
    if args.questions {
        let questions = changeover_plan::answers_template();
        output.emit("questions", &json!({"answers": questions}));
        output.line(questions.trim_end());
        return Ok(exit::OK);
    }
    let given = given::given(args, global)?;
    let progress = |text: &str| output.note(text);
    let (mut inventory, found) = follow::block_on(async {
        let inventory =
            changeover_engine::assess::inventory(&given.sides, now(), &progress).await?;
        let options = given.options(inventory.at);
        let found = changeover_engine::assess::preflight(&given.sides, &inventory, options).await?;
        Ok((inventory, found))
    })?;
    inventory.declared = given.declared.clone();
    let candidates = around::look(&args.places, args.limit, &mut inventory, output)?;
    let assessment = assess(&inventory, found, &rules(), &given.waivers);
    let code = code(&args.fail_on, &assessment);
    report::deliver(args, &inventory, &assessment, code, output)?;
    if nothing_was_read(&given, &inventory) {
        return Err(unread(&inventory));
    }
    if let Some(file) = &args.write_plan {
        given::write_plan(file, &given, &inventory, &candidates, output)?;
    }
    Ok(code)
}

/// Whether databases were given and none of them told anything.
fn nothing_was_read(given: &given::Given, inventory: &Inventory) -> bool {
    let sides = [&given.sides.source, &given.sides.target];
    let databases = sides.iter().filter(|side| side.database.is_some()).count();
    databases > 0 && inventory.unread().len() == databases
}

fn unread(inventory: &Inventory) -> Report {
    let unread = inventory.unread();
    let sides: Vec<&str> = unread.iter().map(|(side, _)| side.as_str()).collect();
    let mut report = Report::new("CO0058", format!("{} could not be read", sides.join(" and ")));
    let causes: BTreeSet<&str> = unread.iter().map(|(_, why)| *why).collect();
    report.chain = causes.into_iter().map(str::to_owned).collect();
    report.hint("nothing is known of the databases: that is no pass")
}

/// Two if something was found that the operator does not accept.
fn code(fail_on: &[FailOn], assessment: &Assessment) -> u8 {
    let score = &assessment.score;
    let at_least = |severity: Severity| {
        let open = assessment.findings.iter().filter(|finding| finding.waiver.is_none());
        open.into_iter().any(|finding| finding.severity <= severity)
    };
    let fails = fail_on.iter().any(|level| match level {
        FailOn::Blocker => score.blocks(),
        FailOn::High => at_least(Severity::High),
        FailOn::Medium => at_least(Severity::Medium),
        FailOn::Low => at_least(Severity::Low),
        FailOn::Unknown => assessment.outcomes.iter().any(Outcome::is_unknown),
        FailOn::Never => false,
    });
    if fails { exit::FINDINGS } else { exit::OK }
}

fn now() -> WallMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_holds_the_catalogue_of_today_and_each_id_once() {
        let document = include_str!("../../../../docs/assess.md");
        assert!(
            document.contains(&changeover_assess::report::catalogue(&rules())),
            "put the output of `changeover assess --catalogue` at the end of docs/assess.md"
        );
        let rules = rules();
        let checks = changeover_assess::CHECKS.iter().map(|check| check.id);
        let ids: Vec<&str> = rules.iter().map(|rule| rule.id).chain(checks).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    }
}
