//! Looks at what the plan's guards watch, all along, and tells the run. What a figure means is the
//! run's business (`changeover_run::Reading`); a look that fails is a reading too: no data.

mod exec;
mod gate;
pub(crate) mod prometheus;
mod slots;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use changeover_plan::{Guard, Measure};
use changeover_postgres::follow::FollowState;
use changeover_run::{Input, Reading};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Report;
use crate::board::Board;
use crate::config::Config;
use crate::databases::Databases;
use crate::effects::keeper;
use crate::gates::Gates;
use crate::owned::{self, Owned};
use crate::relays::Relays;
use crate::words::Words;

/// One look may take this long, a command its own time.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// What looking needs.
#[derive(Clone)]
struct Eyes {
    board: Arc<Board>,
    relays: Relays,
    databases: Option<Databases>,
    gates: Option<Gates>,
    name: String,
    folder: PathBuf,
}

/// The plan's guards, and what looking at them needs.
pub(crate) struct Guards {
    guards: Vec<Guard>,
    eyes: Eyes,
}

impl Guards {
    /// Ready to look.
    ///
    /// # Errors
    /// If a database's secret cannot be had.
    pub(crate) fn new(
        config: &Config,
        board: &Arc<Board>,
        relays: &Relays,
        gates: Option<Gates>,
    ) -> Result<Guards, Report> {
        let folder = config.plan_path.parent().map(PathBuf::from).unwrap_or_default();
        let eyes = Eyes {
            board: Arc::clone(board),
            relays: relays.clone(),
            databases: Databases::of_plan(&config.plan, &config.plan_path)?,
            gates,
            name: config.plan.name.object_name(),
            folder,
        };
        Ok(Guards { guards: config.plan.guards.clone(), eyes })
    }

    /// One look at each, side by side. A guard that nobody has looked at is unknown, which must not
    /// pass for good while the first step begins.
    pub(crate) async fn first_looks(&self) -> Vec<Input> {
        let mut looking = JoinSet::new();
        for guard in self.guards.iter().cloned() {
            let eyes = self.eyes.clone();
            looking.spawn(async move {
                let mut window = gate::Window::default();
                let look = timeout(LOOK_WITHIN, eyes.look(&guard, &mut window));
                let reading = look.await.unwrap_or_else(|_| {
                    let why = "it was looked at, but has not told anything yet".to_owned();
                    Some(Reading::NoData { why })
                })?;
                Some(Input::Guard { name: guard.name, reading })
            });
        }
        looking.join_all().await.into_iter().flatten().collect()
    }

    /// Watches until what it gives is dropped, which also ends every command that is running. A watch
    /// that dies leaves its guard without data, and is begun again.
    pub(crate) fn watch(&self, words: &Words) -> Vec<Owned> {
        let watch = |guard: &Guard| {
            let name = guard.name.clone();
            let (guard, eyes) = (guard.clone(), self.eyes.clone());
            let (saying, dying) = (words.clone(), words.clone());
            let looks = move || look_again_and_again(guard.clone(), eyes.clone(), saying.clone());
            owned::lasting(format!("the watch of guard {name}"), looks, move |why| {
                let (words, name) = (dying.clone(), name.clone());
                async move {
                    words.say(Input::Guard { name, reading: Reading::NoData { why } }).await;
                }
            })
        };
        self.guards.iter().map(watch).collect()
    }
}

async fn look_again_and_again(guard: Guard, eyes: Eyes, words: Words) {
    let mut tick = interval(guard.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut window = gate::Window::default();
    loop {
        tick.tick().await;
        let Some(reading) = eyes.look(&guard, &mut window).await else { continue };
        eyes.board.show_guard(&guard.name, shown(&guard, &reading));
        words.say(Input::Guard { name: guard.name.clone(), reading }).await;
    }
}

impl Eyes {
    /// `None` until there is something to compare with.
    async fn look(&self, guard: &Guard, window: &mut gate::Window) -> Option<Reading> {
        let look = async {
            match &guard.measure {
                Measure::ErrorRate | Measure::LatencyP99 => {
                    let permille = self.board.status().highest_permille();
                    gate::look(self.gates.as_ref(), guard, permille, window).await
                }
                Measure::RelayLag => Some(self.relay_lag()),
                Measure::SlotRetained => {
                    Some(slots::look(self.databases.as_ref(), &self.name).await)
                }
                // The run remembers the last comparison by itself.
                Measure::RowsDifferent => Some(Reading::Idle),
                Measure::Prometheus { url, query } => Some(prometheus::look(url, query).await),
                Measure::Exec { argv, timeout } => {
                    let keeper = match keeper() {
                        Ok(keeper) => keeper,
                        Err(why) => return Some(Reading::NoData { why }),
                    };
                    Some(exec::look(&keeper, argv, &self.folder, *timeout).await)
                }
            }
        };
        let within = match guard.measure {
            Measure::Exec { timeout, .. } => timeout + LOOK_WITHIN,
            _ => LOOK_WITHIN,
        };
        timeout(within, look).await.unwrap_or_else(|_| {
            Some(Reading::NoData { why: format!("no answer within {} s", within.as_secs()) })
        })
    }

    /// How old what the applying relay has not carried over is.
    fn relay_lag(&self) -> Reading {
        let into = self.board.status().authority.other();
        match self.relays.handle(into).map(|handle| handle.status()) {
            Ok(status) if status.state == FollowState::Following => {
                Reading::Figure { value: status.lag.as_secs_f64(), source: None }
            }
            Ok(status) => Reading::NoData {
                why: format!("the relay into the {into} is not following: {}", status.state),
            },
            Err(error) => Reading::NoData { why: error.to_string() },
        }
    }
}

/// A reading for the status.
fn shown(guard: &Guard, reading: &Reading) -> String {
    match reading {
        Reading::Figure { value, source: Some(source) } => {
            let measure = &guard.measure;
            format!("{}, {} on the source", measure.show(*value), measure.show(*source))
        }
        Reading::Figure { value, source: None } => guard.measure.show(*value),
        Reading::Passed => "exit code 0".to_owned(),
        Reading::Failed { why } | Reading::NoData { why } => why.clone(),
        Reading::Idle => String::new(),
    }
}
