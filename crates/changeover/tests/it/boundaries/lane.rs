//! One migration that goes there and back over its boundaries, under load.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use changeover_run::Event;
use serde_json::Value;

use crate::faults::program::{changeover, has, ours};
use crate::gates::web::{Load, Upstream, from};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{
    Fate, Gate, PATIENCE, Pair, PlanText, Sampler, Stage, WritePath, Writers, check::lines,
};

pub(super) struct Lane {
    steps: Vec<&'static str>,
    stage: Stage,
    writers: Writers,
    load: Load,
    sampler: Sampler,
    /// Its server, not the migration's database.
    source_server: String,
    /// The commands of the recovery plan, step by step.
    recovery: Vec<Vec<String>>,
    _upstreams: [Upstream; 2],
}

impl Lane {
    pub(super) fn start(pair: &Pair, name: &str, steps: Vec<&'static str>) -> Lane {
        let upstreams = [Upstream::start("blue"), Upstream::start("green")];
        let phase = |(at, step): (usize, &&str)| {
            let step = if step.contains(':') { format!("{{{step}}}") } else { (*step).to_owned() };
            format!("  - {{name: b{at}, steps: [{step}]}}\n")
        };
        let phases: String = steps.iter().enumerate().map(phase).collect();
        let plan = PlanText::new(Gate::Both)
            .beside_others()
            .upstreams(&upstreams[0].url(), &upstreams[1].url())
            .phases(&format!("phases:\n{phases}"));
        let mut stage = Stage::new(pair, name, &plan);
        let recovery = recovery_plan(&stage);
        stage.start_gate();
        let url = stage.gate_url.clone().unwrap();
        let writers = Writers::start(WritePath::Through(url), 1, 1, Duration::from_millis(10));
        let load = Load::of(plan.http_port().unwrap(), 1, Duration::from_millis(5));
        let sampler = Sampler::start(&stage, Duration::from_millis(250));
        let source_server = pair.blue.url("postgres");
        let lane = Lane {
            steps,
            stage,
            writers,
            load,
            sampler,
            source_server,
            recovery,
            _upstreams: upstreams,
        };
        lane.is_fine(true);
        lane
    }

    /// Goes behind the step, takes the way back that is named there, and looks.
    pub(super) fn back_from(&self, boundary: usize) {
        let step = self.steps[boundary];
        self.verb(&["apply", "--until", &format!("b{boundary}")], 0);
        let status = self.stage.status();
        assert_eq!(status["steps_done"], boundary + 1, "{step}: {}", self.stage.report());
        match self.recovery[boundary].iter().map(String::as_str).collect::<Vec<_>>()[..] {
            // Whatever the second command removes is not needed to go back.
            ["rollback", "abort"] => self.roll_back(step),
            ["abort"] => {
                let state = self.stage.run_state();
                assert!(!state.has_moved_something(), "{step}: {}", self.stage.report());
                // By this word it may be kept, too.
                self.roll_back(step);
                self.verb(&["apply", "--until", &format!("b{boundary}")], 0);
                self.abort();
            }
            ref other => panic!("the recovery plan of `{step}` says {other:?}"),
        }
    }

    /// Out, and from there the plan begins anew.
    pub(super) fn abort(&self) {
        self.verb(&["abort"], 0);
        let acknowledged = self.acknowledged();
        nothing_is_left(&self.stage);
        self.is_asked("blue", &|| self.stage.report());
        let there = lines(&self.stage.source);
        assert!(acknowledged.iter().all(|id| there.contains(id)), "{}", self.stage.report());
    }

    /// A check behind the cutover takes everything back.
    pub(super) fn by_itself(&self) {
        self.is_fine(false);
        self.verb(&["apply"], 3);
        self.is_back("a check");
        let clear =
            |it: &Event| matches!(it, Event::WayBackChecked { against } if against.is_empty());
        assert!(self.events().iter().any(clear), "{}", self.stage.report());
        assert_eq!(self.went_back_by_itself(), 1);
        self.is_fine(true);
    }

    /// Nothing goes back by itself where it cannot be taken, and nothing does it twice.
    pub(super) fn not_by_itself(&self) {
        self.is_fine(false);
        self.give_room(1);
        self.verb(&["apply"], 5);
        self.stays("the way back is not ready", "source's database has room for 0 more");
        // Whoever says so is obeyed.
        self.roll_back("a pause on the way back");
        assert_eq!(self.told_of_room(), 1, "{}", self.stage.report());

        self.verb(&["apply"], 5);
        self.stays("went back by itself once already", "for you to say");
        self.roll_back("a pause before it");
        assert_eq!(self.told_of_room(), 2, "{}", self.stage.report());
        assert_eq!(self.went_back_by_itself(), 1);
        self.give_room(-1);
    }

    fn stays(&self, why: &str, what: &str) {
        let status = self.stage.wait_for_state("paused");
        has(status["state"]["reason"].as_str().unwrap(), &[why, what]);
        has(
            status["state"]["next_command"].as_str().unwrap_or_default(),
            &["changeover rollback "],
        );
        let stands = (status["authority"].as_str(), status["target_permille"].as_u64());
        assert_eq!(stands, (Some("target"), Some(600)), "{}", self.stage.report());
    }

    /// In the end nothing is missing, nothing is there twice, nobody was refused; and out.
    pub(super) fn settle(self) {
        let Lane { stage, writers, load, sampler, .. } = self;
        let ledger = writers.stop();
        assert_eq!(ledger.errors(), vec![], "{}", stage.report());
        let there = stage.check_settled(&[&ledger]);
        sampler.stop().check(&stage, &there);
        let answers = load.since(0);
        let failed: Vec<_> =
            answers.iter().filter(|it| !it.as_ref().is_ok_and(|got| got.status == 200)).collect();
        assert!(failed.is_empty(), "{failed:?} of {}; {}", answers.len(), stage.report());
        stage.expect("abort", 0);
        nothing_is_left(&stage);
        assert_eq!(lines(&stage.source), there);
    }

    fn roll_back(&self, from: &str) {
        self.verb(&["rollback"], 0);
        self.is_back(from);
    }

    /// The service is on the source with all that was acknowledged, and both sides agree.
    fn is_back(&self, from: &str) {
        let acknowledged = self.acknowledged();
        let report = || format!("back from {from}: {}", self.stage.report());
        let status = self.stage.status();
        assert_eq!(status["state"]["is"], "rolled-back", "{}", report());
        assert_eq!(status["authority"], "source", "{}", report());
        assert_eq!(status["target_permille"], 0, "{}", report());
        let (source, target) = self.stage.authority();
        assert!(source == "source" && target != "target", "{source} {target} {}", report());
        self.is_asked("blue", &report);
        let there = lines(&self.stage.source);
        let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(id)).collect();
        assert!(lost.is_empty(), "{lost:?} {}", report());
        self.writers.wait_for_more(5);
        self.verb(&["verify"], 0);
    }

    /// What was on its way to the other side when this began may still be answered from there.
    fn is_asked(&self, upstream: &str, report: &dyn Fn() -> String) {
        self.load.more(5);
        let answers = self.load.more(20);
        assert_eq!(from(&answers, upstream), 20, "{answers:?} {}", report());
    }

    fn acknowledged(&self) -> Vec<(i32, i32)> {
        let fates = self.writers.told().fates;
        fates
            .into_iter()
            .filter(|(_, fate)| *fate == Fate::Acknowledged)
            .map(|(id, _)| id)
            .collect()
    }

    /// Whether the check behind the cutover passes.
    fn is_fine(&self, is: bool) {
        let file = self.folder().join("fine");
        if is { fs::write(file, "").unwrap() } else { fs::remove_file(file).unwrap() }
    }

    /// How many sessions the source's database takes, of anybody but superusers (as we are).
    fn give_room(&self, sessions: i32) {
        let name = &self.stage.name;
        let sql = format!("ALTER DATABASE {name} CONNECTION LIMIT {sessions}");
        execute(&self.source_server, &sql);
    }

    /// How often the way back was taken although there was no room.
    fn told_of_room(&self) -> usize {
        let of_room = |it: &&Event| match it {
            Event::WayBackChecked { against } => {
                against.iter().any(|why| why.contains("has room for 0"))
            }
            _ => false,
        };
        self.events().iter().filter(of_room).count()
    }

    fn went_back_by_itself(&self) -> usize {
        let is = |it: &&Event| matches!(it, Event::RollbackBegun { automatic: true, .. });
        self.events().iter().filter(is).count()
    }

    fn events(&self) -> Vec<Event> {
        let records = self.stage.journal();
        let of_run = records.iter().filter(|record| record.kind == "run");
        of_run.map(|record| serde_json::from_value(record.body.clone()).unwrap()).collect()
    }

    fn verb(&self, words: &[&str], code: i32) {
        let (verb, more) = words.split_first().unwrap();
        let ran = self.stage.begin(verb, more, &[]).end(PATIENCE);
        let ran = ran.unwrap_or_else(|e| panic!("{e}\n{}", self.stage.report()));
        let report = || format!("{words:?}: {}\n{}", ran.error(), self.stage.report());
        assert_eq!(ran.code, Some(code), "{}", report());
    }

    fn folder(&self) -> PathBuf {
        self.stage.plan.parent().unwrap().to_owned()
    }
}

fn nothing_is_left(stage: &Stage) {
    assert_eq!(stage.status()["state"]["is"], "aborted", "{}", stage.report());
    for url in [&stage.source, &stage.target] {
        assert_eq!(ours(url, &stage.name), "0", "{}", stage.report());
    }
    let relations = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(query_one(&stage.target, relations), "0", "{}", stage.report());
}

/// Each step's commands, as `plan` prints them: `changeover VERB FILE`.
fn recovery_plan(stage: &Stage) -> Vec<Vec<String>> {
    let folder = stage.plan.parent().unwrap();
    let said = changeover(folder, &["plan", "plan.yaml", "--offline", "--format", "json"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    let document: Value = serde_json::from_str(&said.out).unwrap();
    let steps = document["phases"].as_array().unwrap().iter().flat_map(|phase| {
        phase["steps"].as_array().unwrap().iter().map(|step| &step["recovery"]["commands"])
    });
    let verb = |command: &Value| {
        let words: Vec<&str> = command.as_str().unwrap().split(' ').collect();
        assert_eq!((words[0], words[2]), ("changeover", "plan.yaml"), "{command}");
        words[1].to_owned()
    };
    steps.map(|commands| commands.as_array().unwrap().iter().map(verb).collect()).collect()
}
