//! One migration of a rehearsal: its plan, its state folder, its daemon.

mod steps;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use changeover_engine::client::{Client, ClientError};
use changeover_engine::protocol::{Ask, RunState, RunStatus, VerifyStatus};
use changeover_engine::{Report, make_state_dir};
use changeover_journal::{Reader, Seq};
use changeover_plan::estimate::Earlier;
use changeover_plan::rehearsal::Walk;
use changeover_plan::{HttpSide, Objectives, Plan, SecretRef, Standbys, fingerprint};
use changeover_types::{MigrationName, Side};
use serde_json::{Value, json};

use crate::follow::{self, Followed};
use crate::migration::{self, Planned, Target};
use crate::output::Output;
use crate::{earlier, view};

pub(super) use steps::phase;

/// Names the folder as one of ours, with the migration that it rehearses.
const MARKER: &str = "rehearsal-of";
const PLAN_FILE: &str = "plan.json";
/// The second database's URL, which may hold a password: in the folder, and only while it is there.
const URL_FILE: &str = "second-url";
/// How long a daemon may take to leave.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// How long a change of authority that is under way may take to end by itself.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

pub(super) struct Stage {
    /// The migration that is rehearsed.
    of: MigrationName,
    text: String,
    target: Target,
    plan: Plan,
}

impl Stage {
    /// From the source into the first database.
    pub(super) fn copy(planned: &Planned) -> Result<Stage, Report> {
        let plan = &planned.plan;
        let standbys = plan.source.postgres.as_ref().map(|it| it.standbys);
        let mut source =
            json!({"url": reference(plan.source.postgres.as_ref().map(|it| &it.url), planned)});
        if standbys == Some(Standbys::NotPromotable) {
            source["standbys"] = json!("not-promotable");
        }
        let first =
            json!({"url": reference(plan.rehearsal.as_ref().map(|it| &it.postgres), planned)});
        let phases = json!([{"name": "copy", "steps": ["replicate", "verify"]}]);
        let (source, target) = (json!({"postgres": source}), json!({"postgres": first}));
        Stage::new(planned, "copy", source, target, &plan.data.include, phases)
    }

    /// From the second database to the first, through what of the plan can be rehearsed.
    pub(super) fn move_(planned: &Planned, walk: &Walk) -> Result<Stage, Report> {
        let plan = &planned.plan;
        let second = json!({"url": {"file": URL_FILE}, "standbys": "not-promotable"});
        let first =
            json!({"url": reference(plan.rehearsal.as_ref().map(|it| &it.postgres), planned)});
        let phases = steps::phases(&walk.stations, planned)?;
        let mut include = plan.data.include.clone();
        if !include.is_empty() {
            include.push(changeover_engine::rehearsal::LOAD_SCHEMA.to_owned());
        }
        let (mut source, mut target) = (json!({"postgres": second}), json!({"postgres": first}));
        let http = |side: Option<&HttpSide>| side.map(|it| json!({"upstreams": it.upstreams}));
        // A plan has HTTP on both sides or on neither; there is no gate, so nothing moves there.
        if let Some(own) = http(plan.rehearsal.as_ref().and_then(|it| it.http.as_ref())) {
            target["http"] = own;
            source["http"] = http(plan.source.http.as_ref()).unwrap_or_default();
        }
        let mut stage = Stage::new(planned, "move", source, target, &include, phases)?;
        // Not a step further than asked.
        stage.target.until = walk.stations.first().map(|it| steps::phase(it.index));
        Ok(stage)
    }

    fn new(
        planned: &Planned,
        what: &str,
        source: Value,
        target: Value,
        include: &[String],
        phases: Value,
    ) -> Result<Stage, Report> {
        let plan = &planned.plan;
        let name = name(&plan.name, what)?;
        // Types may be placed once: a number that was used up is lost to the migration itself.
        let mut data = json!({
            "exclude": plan.data.exclude,
            "copy_jobs": plan.data.copy_jobs,
            "tablespaces": plan.data.tablespaces,
            "type_numbers": {"budget": 0},
        });
        if !include.is_empty() {
            data["include"] = json!(include);
        }
        let objectives = objectives(&plan.objectives);
        let text = json!({
            "apiVersion": "changeover/v1",
            "kind": "Migration",
            "metadata": {"name": name.as_str(), "owner": format!("rehearsal of {}", plan.name)},
            "objectives": objectives,
            "source": source,
            "target": target,
            "data": data,
            "phases": phases,
        });
        let text = serde_json::to_string_pretty(&text)
            .map_err(|e| Report::new("CO0194", "a rehearsal's plan has no text").because(&e))?;
        let parent = planned.state_dir.parent().unwrap_or(Path::new("."));
        let state_dir = parent.join(name.as_str());
        let path = state_dir.join(PLAN_FILE);
        let read = changeover_engine::parse_plan("the rehearsal's plan", &path, &text);
        let parsed = read.map_err(|faults| {
            Report::new("CO0194", "the plan cannot be turned into a rehearsal")
                .cause(faults.to_string())
        })?;
        let own = Planned { path, plan: parsed.clone(), state_dir: state_dir.clone() };
        let target = Target { name, state_dir, plan: Some(own), until: None, asker: None };
        Ok(Stage { of: plan.name.clone(), text, target, plan: parsed })
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    fn folder(&self) -> &PathBuf {
        &self.target.state_dir
    }

    /// Makes the folder. The marker first: without it, nothing here is ever removed.
    pub(super) fn write(&self, url: Option<&str>) -> Result<(), Report> {
        make_state_dir(self.folder())?;
        self.put(MARKER, self.of.as_str())?;
        if let Some(url) = url {
            self.put(URL_FILE, url)?;
        }
        self.put(PLAN_FILE, &self.text)
    }

    fn put(&self, name: &str, text: &str) -> Result<(), Report> {
        let path = self.folder().join(name);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut it| it.write_all(text.as_bytes()))
            .map_err(|e| {
                Report::new("CO0195", format!("{} cannot be written", path.display())).because(&e)
            })
    }

    /// Orders something, if there is something to order, and follows until the run rests.
    pub(super) async fn drive(
        &self,
        ask: Option<Ask>,
        wanted: fn(&RunState) -> bool,
        output: &Output,
    ) -> Result<(), Report> {
        let after = self.target.last_event().await?;
        if let Some(ask) = ask {
            self.target.order(ask).await?;
        }
        let rests = |status: &RunStatus| status.state.is_resting();
        match follow::until(&self.target, output, Some(after), rests).await? {
            Followed::Rested(state, _) if wanted(&state) => Ok(()),
            Followed::Rested(state, _) => Err(self.unwanted(&state)),
            Followed::Left => Err(interrupted()),
        }
    }

    fn unwanted(&self, state: &RunState) -> Report {
        Report::new("CO0196", format!("the rehearsal's migration {} stopped", self.target.name))
            .cause(view::state(state))
    }

    /// Compares both sides; says how many rows there are.
    pub(super) async fn compare(&self, output: &Output) -> Result<u64, Report> {
        self.target.order(Ask::Verify).await?;
        let compared = |status: &RunStatus| {
            let stopped = matches!(status.state, RunState::Failed { .. } | RunState::Paused { .. });
            stopped || status.verify.as_ref().is_some_and(VerifyStatus::is_over)
        };
        match follow::until(&self.target, output, None, compared).await? {
            Followed::Rested(_, Some(status)) => match &status.verify {
                Some(verify) if verify.complete && verify.rows_different == 0 => {
                    Ok(verify.rows_compared)
                }
                Some(verify) if verify.complete => {
                    Err(self.unwanted(&status.state).cause(format!(
                        "{} of {} rows differ after the way back",
                        verify.rows_different, verify.rows_compared
                    )))
                }
                Some(VerifyStatus { failed: Some(why), .. }) => {
                    Err(self.unwanted(&status.state).cause(why.clone()))
                }
                _ => Err(self.unwanted(&status.state)),
            },
            Followed::Rested(state, None) => Err(self.unwanted(&state)),
            Followed::Left => Err(interrupted()),
        }
    }

    /// Ends the daemon and leaves the migration as it is.
    pub(super) async fn stop(&self) -> Result<(), Report> {
        match changeover_engine::find_daemon(self.folder()).await {
            Ok(mut daemon) => match daemon.request(Ask::Shutdown).await {
                Ok(_) | Err(ClientError::NotRunning { .. }) => {}
                Err(error) => return Err(error.report()),
            },
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.report()),
        }
        self.gone().await
    }

    async fn gone(&self) -> Result<(), Report> {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            match Client::connect(self.folder()).await {
                Err(ClientError::NotRunning { .. }) => return Ok(()),
                Ok(_) if Instant::now() < deadline => {}
                Ok(_) => {
                    return Err(Report::new(
                        "CO0197",
                        format!("the daemon of {} does not leave", self.target.name),
                    ));
                }
                Err(error) => return Err(error.report()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes the migration back, removes everything it made, and its folder; from wherever it is.
    pub(super) async fn sweep(&self, output: &Output) -> Result<(), Report> {
        if !self.folder().exists() {
            return Ok(());
        }
        let marker = fs::read_to_string(self.folder().join(MARKER)).unwrap_or_default();
        if marker != self.of.as_str() {
            let folder = self.folder().display();
            return Err(Report::new(
                "CO0198",
                format!("{folder} is not of a rehearsal of {}", self.of),
            )
            .hint("a migration of that name was begun by somebody: give this plan another name"));
        }
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let journalled = migration::journalled(self.folder())?;
            let Some(journalled) = journalled else {
                self.stop().await?;
                break;
            };
            if journalled.state.mode.is_over() {
                self.gone().await?;
                break;
            }
            let outcome = if journalled.state.cutover.authority == Side::Target {
                let ask = Ask::Rollback { why: "the rehearsal is over".to_owned() };
                let is_back = |state: &RunState| matches!(state, RunState::RolledBack { .. });
                self.drive(Some(ask), is_back, output).await
            } else {
                self.drive(
                    Some(Ask::Abort { lost: false }),
                    |state| matches!(state, RunState::Aborted),
                    output,
                )
                .await
            };
            match outcome {
                // A change of authority that is under way ends by itself.
                Err(_) if Instant::now() < deadline && self.is_moving()? => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                outcome => outcome?,
            }
        }
        fs::remove_dir_all(self.folder()).map_err(|e| {
            Report::new("CO0195", format!("{} cannot be removed", self.folder().display()))
                .because(&e)
        })
    }

    /// Who has authority, as the journal says.
    pub(super) fn authority(&self) -> Result<Side, Report> {
        let journalled = migration::journalled(self.folder())?;
        Ok(journalled.map_or(Side::Source, |it| it.state.cutover.authority))
    }

    fn is_moving(&self) -> Result<bool, Report> {
        let journalled = migration::journalled(self.folder())?;
        Ok(journalled.is_some_and(|it| it.state.cutover.attempt.is_some()))
    }

    /// What the journal says its steps took.
    pub(super) fn journal(&self) -> Result<Option<Earlier>, Report> {
        let fault = |e: &changeover_journal::JournalError| {
            Report::new("CO0016", "the rehearsal's journal cannot be read").because(e)
        };
        let reader = Reader::open(self.folder()).map_err(|e| fault(&e))?;
        let records = reader.read_after(Seq(0)).map_err(|e| fault(&e))?;
        Ok(earlier::of_records(&self.plan, &records))
    }
}

fn interrupted() -> Report {
    Report::new("CO0199", "the rehearsal was interrupted; everything is removed").exit(130)
}

/// Short enough for a slot's name and a socket's path, and never another migration's.
fn name(of: &MigrationName, what: &str) -> Result<MigrationName, Report> {
    let of = of.as_str();
    let short = if of.len() <= 24 {
        of.to_owned()
    } else {
        let head: String = of.chars().take(15).collect();
        let tail: String = fingerprint(&[of]).chars().take(8).collect();
        format!("{head}-{tail}")
    };
    MigrationName::new(&format!("{short}-rehearse-{what}"))
        .map_err(|e| Report::new("CO0194", "a rehearsal cannot be named").because(&e))
}

/// Those that a cutover and a load are measured against.
fn objectives(of: &Objectives) -> Value {
    let millis = |it: Duration| format!("{}ms", it.as_millis());
    let mut all = json!({"write_pause": millis(of.write_pause)});
    if let Some(rate) = of.error_rate {
        all["error_rate"] = json!(format!("{:.4}%", rate * 100.0));
    }
    if let Some(latency) = of.latency_p99 {
        all["latency_p99"] = json!(millis(latency));
    }
    all
}

/// Where a secret is, for a plan in another folder.
fn reference(from: Option<&SecretRef>, planned: &Planned) -> Value {
    let folder = planned.path.parent().unwrap_or(Path::new("/"));
    match from {
        Some(SecretRef::Env(name)) => json!({"env": name}),
        Some(SecretRef::File(path)) => json!({"file": folder.join(path)}),
        Some(SecretRef::Inline(url)) => json!(url),
        None => Value::Null,
    }
}
