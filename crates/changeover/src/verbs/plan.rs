//! `plan`: checks the file, connects, looks and measures, and prints what will happen, for how long,
//! and the way back from each step. Changes nothing.

mod fix;
mod risks;
pub(crate) mod show;
mod verdict;

use std::fs;
use std::path::Path;
use std::time::Duration;

use changeover_assess::{Assessment, Finding, Inventory, assess};
use changeover_engine::Report;
use changeover_engine::assess::{Given, inventory};
use changeover_engine::preflight::{PreflightView, Trying, rules};
use changeover_plan::contradictions;
use changeover_plan::document::{Document, Line, Surroundings, document, html, markdown};
use changeover_plan::estimate::{Measures, estimate};
use changeover_plan::saved::Facts;

use super::assess::around;
use super::assess::given::answers_of;
use super::saved;
use crate::cli::{DocumentFormat, Global, PlanArgs};
use crate::migration::Planned;
use crate::output::Output;
use crate::{earlier, exit, follow, migration};

/// The assessment's two samples of what changes are this far apart.
const CHANGES_OVER: Duration = Duration::from_secs(1);
/// The longest that one question of the assessment may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn run(args: &PlanArgs, global: &Global, output: &Output) -> Result<u8, Report> {
    of(&migration::read_plan(&args.plan, global)?, args, output)
}

/// The same for a plan that was read.
///
/// # Errors
/// If a database cannot be asked, or the migration could not begin.
pub(crate) fn of(planned: &Planned, args: &PlanArgs, output: &Output) -> Result<u8, Report> {
    let Drawn { document, looked } = draw(planned, args, output)?;
    output.emit("plan", &planned.plan);
    output.emit("document", &document);
    match args.format {
        DocumentFormat::Text => show::show(&planned.plan, &document, output),
        other => output.line(rendered(&document, other)?),
    }
    for file in &args.document {
        write_document(&document, file, output)?;
    }
    if let Some(file) = &args.fix {
        fix::write(&document, file, output)?;
    }
    verdict::may_begin(&document)?;
    let code = verdict::code(&document, &args.fail_on);
    verdict::tell(&document, code, output);
    if let Some(file) = &args.out {
        saved::write(file, planned, looked.facts, args.valid_for, output)?;
    }
    if !args.detailed_exitcode {
        return Ok(code);
    }
    // There 2 means that something is pending, so what nobody accepts is an error.
    Ok(match code {
        exit::OK if is_pending(planned)? => exit::PENDING,
        exit::OK => exit::OK,
        _ => exit::ERROR,
    })
}

/// A plan's document, and what it was made of.
pub(crate) struct Drawn {
    /// The plan for a change board.
    pub(crate) document: Document,
    looked: Looked,
}

impl Drawn {
    /// Prints it for a terminal.
    pub(crate) fn show(&self, planned: &Planned, output: &Output) {
        show::show(&planned.plan, &self.document, output);
    }

    /// Whether the migration could begin, and the exit code that its risks ask for.
    ///
    /// # Errors
    /// With what keeps it.
    pub(crate) fn verdict(&self, args: &PlanArgs, output: &Output) -> Result<u8, Report> {
        verdict::may_begin(&self.document)?;
        let code = verdict::code(&self.document, &args.fail_on);
        verdict::tell(&self.document, code, output);
        Ok(code)
    }
}

/// Looks, measures, and puts the document together.
///
/// # Errors
/// If a database cannot be asked.
pub(crate) fn draw(planned: &Planned, args: &PlanArgs, output: &Output) -> Result<Drawn, Report> {
    let mut looked = if args.offline { Looked::default() } else { look(planned, args, output)? };
    let mut measures = std::mem::take(&mut looked.measures);
    measures.earlier = earlier::all(&planned.plan, &planned.state_dir, &mut measures.unknown);
    let estimates = estimate(&planned.plan, &measures);
    let now = changeover_engine::now();
    let around = Surroundings {
        risks: looked.assessment.as_ref().map(risks::risks),
        promises: looked.found.as_ref().map(promises).unwrap_or_default(),
        tools: std::mem::take(&mut looked.tools),
        contradictions: contradictions(&planned.plan, &estimates, &measures, now),
        ..surroundings(&args.plan)
    };
    Ok(Drawn { document: document(&planned.plan, &estimates, &measures, around), looked })
}

/// File, program and time of a document that is made now.
pub(crate) fn surroundings(file: &Path) -> Surroundings {
    Surroundings {
        file: file.display().to_string(),
        tool: format!("changeover {}", env!("CARGO_PKG_VERSION")),
        at: changeover_plan::show_instant(changeover_engine::now()),
        ..Surroundings::default()
    }
}

/// What was seen of the databases.
#[derive(Default)]
struct Looked {
    found: Option<PreflightView>,
    assessment: Option<Assessment>,
    measures: Measures,
    facts: Facts,
    tools: Vec<Line>,
}

fn look(planned: &Planned, args: &PlanArgs, output: &Output) -> Result<Looked, Report> {
    let (plan, path) = (&planned.plan, &planned.path);
    let trying = if args.read_only { Trying::ReadOnly } else { Trying::Asked };
    let given = Given::of_plan(plan, path, CHANGES_OVER, ANSWER_WITHIN);
    let (mut looked, inventory) = follow::block_on(async {
        let found = changeover_engine::preflight(plan, path, &planned.state_dir, trying).await?;
        let mut looked = Looked { found: Some(found), ..Looked::default() };
        if !args.no_sample {
            looked.measures = changeover_engine::measure(plan, path, args.read_only).await?;
        }
        // After the measuring, which it would disturb.
        let inventory = inventory(&given, changeover_engine::now(), &|_| {}).await?;
        looked.facts = changeover_engine::facts(plan, path).await?;
        let tools = changeover_engine::tools(&looked.facts).await;
        looked.tools = tools.into_iter().map(|(what, is)| Line::new(what, is)).collect();
        Ok((looked, inventory))
    })?;
    let found = looked.found.as_ref().map(|it| it.findings.clone()).unwrap_or_default();
    looked.assessment = Some(assessed(planned, args, inventory, found, output)?);
    Ok(looked)
}

/// The checks of `assess` beside the preflight, with the plan's own answers and waivers.
fn assessed(
    planned: &Planned,
    args: &PlanArgs,
    mut inventory: Inventory,
    found: Vec<Finding>,
    output: &Output,
) -> Result<Assessment, Report> {
    let answers = answers_of(&planned.plan, &args.plan);
    inventory.declared = answers.declared;
    around::look(&args.places, ANSWER_WITHIN, &mut inventory, output)?;
    Ok(assess(&inventory, found, &rules(), &answers.waivers))
}

fn promises(found: &PreflightView) -> Vec<(String, bool)> {
    found.promises.iter().map(|promise| (promise.what.clone(), promise.kept)).collect()
}

/// The document in one of its forms.
///
/// # Errors
/// If it cannot be written as JSON.
pub(crate) fn rendered(document: &Document, format: DocumentFormat) -> Result<String, Report> {
    Ok(match format {
        DocumentFormat::Markdown | DocumentFormat::Text => markdown(document),
        DocumentFormat::Html => html(document),
        DocumentFormat::Json => serde_json::to_string_pretty(document).map_err(|e| {
            Report::new("CO0033", "the plan's document cannot be written as JSON").because(&e)
        })?,
    })
}

/// Writes the document in the form that the file's name asks for.
///
/// # Errors
/// If the name asks for none, or the file cannot be written.
pub(crate) fn write_document(
    document: &Document,
    file: &Path,
    output: &Output,
) -> Result<(), Report> {
    let fault =
        || Report::new("CO0033", format!("the document {} cannot be written", file.display()));
    let format = match file.extension().and_then(|it| it.to_str()) {
        Some("html" | "htm") => DocumentFormat::Html,
        Some("md" | "markdown") => DocumentFormat::Markdown,
        Some("json") => DocumentFormat::Json,
        _ => return Err(fault().cause("its name ends neither in .html nor in .md nor in .json")),
    };
    fs::write(file, rendered(document, format)?).map_err(|e| fault().because(&e))?;
    output.emit("written", &serde_json::json!({"file": file}));
    output.note(format!("wrote {}", file.display()));
    Ok(())
}

/// Whether `apply` would do something.
fn is_pending(planned: &Planned) -> Result<bool, Report> {
    use changeover_run::Mode;
    let journalled = migration::journalled(&planned.state_dir)?;
    Ok(journalled.is_none_or(|it| {
        let over = matches!(it.state.mode, Mode::Done | Mode::Finished);
        !over || it.meta.plan_digest != planned.plan.digest
    }))
}
