//! What is to be assessed: a plan, or the sides by hand; the answers; and the plan drafted from it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use changeover_assess::Inventory;
use changeover_assess::draft::{DraftInput, UrlPlace, draft};
use changeover_assess::map::Candidate;
use changeover_engine::Report;
use changeover_engine::assess::{Given as Sides, GivenSide, Options, free_addresses};
use changeover_plan::{Answers, Plan, SecretRef, Standbys};
use changeover_types::{Answer, Declared, MigrationName, Waiver, WallMs, questions};

use super::around;
use crate::cli::{Assess, Global};
use crate::migration;
use crate::output::Output;

/// The name of a migration that has none yet.
const UNNAMED: &str = "migration";

/// The ports that a drafted plan's gates get, if they are free.
const GATE_PORTS: [u16; 2] = [8080, 6432];

/// Everything that the command line gives.
pub(super) struct Given {
    pub(super) sides: Sides,
    pub(super) declared: Declared,
    pub(super) waivers: Vec<Waiver>,
}

impl Given {
    /// What was declared to the preflight.
    pub(super) fn options(&self, now: WallMs) -> Options {
        let fails_over = self.declared.answer(&questions::FAILS_OVER).map(|(answer, _)| answer);
        Options {
            standbys_never_promoted: fails_over == Some(&Answer::YesNo(false)),
            waivers: self.waivers.clone(),
            now,
            ..Options::default()
        }
    }
}

pub(super) fn given(args: &Assess, global: &Global) -> Result<Given, Report> {
    let (mut sides, mut answers) = match &args.plan {
        Some(file) => {
            let planned = migration::read_plan(file, global)?;
            let sides = Sides::of_plan(&planned.plan, &planned.path, args.sample, args.limit);
            (sides, answers_of(&planned.plan, file))
        }
        None => (by_hand(args)?, Answers::default()),
    };
    sides.health.clone_from(&args.health_path);
    if let Some(file) = &args.answers {
        let more = placed(read_answers(file)?, file);
        answers.declared.0.extend(more.declared.0);
        answers.waivers.extend(more.waivers);
    }
    Ok(Given { sides, declared: answers.declared, waivers: answers.waivers })
}

/// What a plan declares, also by its other words.
pub(in crate::verbs) fn answers_of(plan: &Plan, file: &Path) -> Answers {
    let mut answers = plan.answers.clone();
    let standbys = plan.source.postgres.as_ref().map(|it| it.standbys);
    if standbys == Some(Standbys::NotPromotable) {
        let no = (Answer::YesNo(false), "source.postgres.standbys".to_owned());
        answers.declared.0.entry(questions::FAILS_OVER.path()).or_insert(no);
    }
    placed(answers, file)
}

/// The answers with the file before their lines.
fn placed(mut answers: Answers, file: &Path) -> Answers {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    for (_, line) in answers.declared.0.values_mut() {
        *line = format!("{name}:{line}");
    }
    answers
}

fn read_answers(file: &Path) -> Result<Answers, Report> {
    let shown = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|e| {
        Report::new("CO0050", format!("the answers {shown} cannot be read"))
            .because(&e)
            .hint("`changeover assess --questions` prints a file to fill in")
    })?;
    changeover_plan::answers(&shown, &text).map_err(|faults| {
        let mut report = Report::new("CO0051", format!("the answers {shown} have faults"));
        report.chain = faults.0.iter().map(ToString::to_string).collect();
        report
    })
}

fn by_hand(args: &Assess) -> Result<Sides, Report> {
    let side = |url: &Option<String>, http: &Vec<String>| -> Result<GivenSide, Report> {
        let database = url.as_deref().map(reference).transpose()?;
        Ok(GivenSide { database, upstreams: http.clone() })
    };
    let source = side(&args.source, &args.source_http)?;
    let target = side(&args.target, &args.target_http)?;
    let nothing = |side: &GivenSide| side.database.is_none() && side.upstreams.is_empty();
    if nothing(&source) && nothing(&target) && !args.places.hold_something() {
        return Err(Report::new("CO0052", "there is nothing to assess")
            .hint("give a plan: changeover assess PLAN")
            .hint("or where to look: changeover assess --from DIR --proc")
            .hint("or the sides: changeover assess --source env:OLD_DATABASE_URL --target env:NEW_DATABASE_URL")
            .exit(crate::exit::USAGE));
    }
    let fault =
        |e| Report::new("CO0053", "the name cannot be used").because(&e).exit(crate::exit::USAGE);
    let name = MigrationName::new(args.name.as_deref().unwrap_or(UNNAMED)).map_err(fault)?;
    Ok(Sides {
        name,
        source,
        target,
        beside: "plan.yaml".into(),
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        health: None,
        sample: args.sample,
        limit: args.limit,
    })
}

/// The name that was given, or else the source database's, if it can be one.
fn name_of(given: &Given, inventory: &Inventory) -> MigrationName {
    let database = inventory.source.database.as_deref().and_then(|it| it.server.get().ok());
    let database = database.and_then(|server| MigrationName::new(&server.database).ok());
    match database {
        Some(name) if given.sides.name.as_str() == UNNAMED => name,
        _ => given.sides.name.clone(),
    }
}

/// `env:NAME`, `file:PATH`, or a URL without a password.
fn reference(text: &str) -> Result<SecretRef, Report> {
    if let Some(name) = text.strip_prefix("env:") {
        return Ok(SecretRef::Env(name.to_owned()));
    }
    if let Some(path) = text.strip_prefix("file:") {
        return Ok(SecretRef::File(path.into()));
    }
    // The same rule as in a plan: what everybody can see in a process list holds no password.
    match changeover_plan::inline_url(text) {
        Some(reference) => Ok(reference),
        None => Err(Report::new("CO0054", "a database's place cannot be read")
            .cause("it is neither env:NAME, nor file:PATH, nor a URL without a password")
            .hint("put the URL into an environment variable and give env:NAME")
            .exit(crate::exit::USAGE)),
    }
}

/// Writes the draft, never over an existing file.
pub(super) fn write_plan(
    file: &Path,
    given: &Given,
    inventory: &Inventory,
    candidates: &[Candidate],
    output: &Output,
) -> Result<(), Report> {
    let [http_gate, postgres_gate] = free_addresses(GATE_PORTS);
    let place = |side: &GivenSide| {
        side.database.as_ref().map(|reference| match reference {
            SecretRef::Env(name) => UrlPlace::Env(name.clone()),
            SecretRef::File(path) => UrlPlace::File(absolute(path)),
            SecretRef::Inline(url) => UrlPlace::Inline(url.clone()),
        })
    };
    let input = DraftInput {
        name: name_of(given, inventory),
        source: place(&given.sides.source),
        target: place(&given.sides.target),
        include: given.sides.include.clone(),
        exclude: given.sides.exclude.clone(),
        http_gate,
        postgres_gate,
    };
    let text = draft(inventory, &input) + &around::as_comments(candidates);
    let shown = file.display().to_string();
    // What we write we can read: a draft with a fault is ours, not the operator's.
    changeover_plan::parse(&shown, &text).map_err(|faults| {
        let mut report = Report::new("CO0055", "no sound plan can be drafted from what was given")
            .hint("give both sides the same parts: --source and --target, --source-http and --target-http");
        report.chain = faults.0.iter().map(ToString::to_string).collect();
        report
    })?;
    let written = OpenOptions::new().write(true).create_new(true).open(file);
    let written = written.and_then(|mut it| it.write_all(text.as_bytes()));
    written.map_err(|e| {
        let report = Report::new("CO0020", format!("the plan {shown} cannot be written"));
        let report = report.because(&e);
        match e.kind() {
            ErrorKind::AlreadyExists => report.hint("give another name: a plan is never replaced"),
            _ => report,
        }
    })?;
    output.emit("written", &serde_json::json!({"file": file}));
    output.note(format!("wrote {shown}; correct its guesses, then: changeover plan {shown}"));
    Ok(())
}

/// Relative paths in a plan start at the plan's folder, those on the command line here.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
