//! `assess`: what is there, what could go wrong, and what to do about it. Changes nothing.

pub(super) mod around;
pub(super) mod given;
mod human;
mod report;

use std::time::{SystemTime, UNIX_EPOCH};

use changeover_assess::{Assessment, Outcome, Severity, assess};
use changeover_engine::Report;
use changeover_types::WallMs;
use serde_json::json;

use crate::cli::{Assess, FailOn, Global};
use crate::output::Output;
use crate::{exit, follow};

pub(super) fn run(args: &Assess, global: &Global, output: &Output) -> Result<u8, Report> {
    if args.catalogue {
        output.emit("catalogue", &json!({"markdown": changeover_assess::report::catalogue()}));
        output.line(changeover_assess::report::catalogue().trim_end());
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
    let gathering = changeover_engine::assess::inventory(&given.sides, now(), &progress);
    let mut inventory = follow::block_on(gathering)?;
    inventory.declared = given.declared.clone();
    let candidates = around::look(&args.places, args.limit, &mut inventory, output)?;
    let assessment = assess(&inventory, &given.waivers);
    let code = code(&args.fail_on, &assessment);
    report::deliver(args, &inventory, &assessment, code, output)?;
    if let Some(file) = &args.write_plan {
        given::write_plan(file, &given, &inventory, &candidates, output)?;
    }
    Ok(code)
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
