//! The run's hand on the gate: numbered orders, and what the gate says of itself.

mod blockers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use changeover_gate::control::{ControlClient, ControlError};
use changeover_gate::state::RouteFile;
use changeover_plan::Plan;
use changeover_routing::mirror::{MirrorOrder, MirrorStatus};
use changeover_routing::{Answer, Decisions, GateMetrics, GateStatus, Order, OrderNumber, Route};
use changeover_types::{Epoch, RouteName, Side, Split};

pub(crate) use blockers::Blockers;

use crate::databases::Databases;
use crate::settings::{self, ROUTES};

/// An order that the gate answers at all, it answers within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Why the gate did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    /// It could not be asked.
    #[error("the gate cannot be steered")]
    Control(#[from] ControlError),
    /// It would not.
    #[error("the gate refused: {0}")]
    Refused(String),
    /// It was started with another plan.
    #[error(
        "the gate carries another plan ({0}): start it again with `changeover gate` and this plan"
    )]
    OtherPlan(String),
    /// It answered something else.
    #[error("the gate answered out of protocol")]
    Protocol,
}

/// The gate of a migration, if its plan has one.
#[derive(Clone, Debug)]
pub(crate) struct Gates {
    socket: PathBuf,
    /// Which gate's open work keeps a hold from being complete.
    holder: &'static str,
    /// What it must have been started with.
    carries: BTreeMap<String, String>,
}

impl Gates {
    /// The plan's gate; `None` if it has none.
    pub(crate) fn if_planned(
        state_dir: &Path,
        plan: &Plan,
        databases: Option<&Databases>,
    ) -> Option<Gates> {
        let planned = plan.gates.http.is_some() || plan.gates.postgres.is_some();
        planned.then(|| Gates::of_plan(state_dir, plan, databases))
    }

    /// The gate behind `gate.sock` in the state folder.
    fn of_plan(state_dir: &Path, plan: &Plan, databases: Option<&Databases>) -> Gates {
        let holder = if plan.gates.postgres.is_some() { "postgres" } else { "http" };
        let carries = settings::carries(plan, databases);
        Gates { socket: state_dir.join("gate.sock"), holder, carries }
    }

    /// Whether it was started with this plan; where it stands, if so.
    pub(crate) async fn carries_the_plan(&self) -> Result<GateStatus, GateError> {
        let status = self.status().await?;
        match differences(&status, &self.carries) {
            None => Ok(status),
            Some(differences) => Err(GateError::OtherPlan(differences)),
        }
    }

    /// Gives the target these shares, authority as given. Only a gate that was started with the
    /// plan is given more than nothing.
    pub(crate) async fn weigh(
        &self,
        at: Epoch,
        route: Route,
        split: Split,
    ) -> Result<GateStatus, GateError> {
        if split.highest(route.target_permille) > 0 {
            self.carries_the_plan().await?;
        }
        self.route(at, route, split).await
    }

    /// Where it stands.
    pub(crate) async fn status(&self) -> Result<GateStatus, GateError> {
        standing(self.ask(Order::Status).await?)
    }

    /// Its counters.
    pub(crate) async fn metrics(&self) -> Result<GateMetrics, GateError> {
        match self.ask(Order::Metrics).await? {
            Answer::Metrics(metrics) => Ok(metrics),
            Answer::Refused { why, .. } => Err(GateError::Refused(why)),
            Answer::Status(_) | Answer::Decided(_) | Answer::Mirror(_) => Err(GateError::Protocol),
        }
    }

    /// What it decided about requests from this second of its life on, up to a minute of it: about
    /// those of these routes, or about all if there are none.
    pub(crate) async fn decided(
        &self,
        from: u64,
        routes: &[RouteName],
    ) -> Result<Decisions, GateError> {
        match self.ask(Order::Decided { from, routes: routes.to_vec() }).await? {
            Answer::Decided(decisions) => Ok(decisions),
            Answer::Refused { why, .. } => Err(GateError::Refused(why)),
            Answer::Status(_) | Answer::Metrics(_) | Answer::Mirror(_) => Err(GateError::Protocol),
        }
    }

    /// Mirrors, or goes on mirroring, until the order's lease is over.
    pub(crate) async fn mirror(&self, order: MirrorOrder) -> Result<MirrorStatus, GateError> {
        mirrored(self.ask(Order::Mirror(order)).await?)
    }

    /// Ends the mirroring of this id.
    pub(crate) async fn stop_mirror(&self, id: u64) -> Result<MirrorStatus, GateError> {
        mirrored(self.ask(Order::MirrorStop { id }).await?)
    }

    /// Sends this share of requests to the target, with what differs for single routes, authority as
    /// given.
    async fn route(&self, at: Epoch, route: Route, split: Split) -> Result<GateStatus, GateError> {
        self.change(at, |number| Order::Route { number, route, split }).await
    }

    /// The route with another authority, the shares of requests as they are.
    pub(crate) async fn give_authority(
        &self,
        at: Epoch,
        authority: Side,
        authority_epoch: Epoch,
        (target_permille, split): (u16, &Split),
    ) -> Result<GateStatus, GateError> {
        let route = Route { target_permille, authority, authority_epoch };
        self.route(at, route, split.clone()).await
    }

    /// A hold may come within this: sessions are made ready for it.
    pub(crate) async fn prepare(&self, within: Duration) -> Result<GateStatus, GateError> {
        standing(self.ask(Order::Prepare { within_ms: millis(within) }).await?)
    }

    /// Parks new work for at most `budget`.
    pub(crate) async fn hold(&self, at: Epoch, budget: Duration) -> Result<GateStatus, GateError> {
        self.change(at, |number| Order::Hold { number, budget_ms: millis(budget) }).await
    }

    /// Lets the hold last `budget` from now; refused when it has lapsed.
    pub(crate) async fn renew(&self, at: Epoch, budget: Duration) -> Result<GateStatus, GateError> {
        self.change(at, |number| Order::Renew { number, budget_ms: millis(budget) }).await
    }

    /// Tells it that a lapse from now on means: ask the databases.
    pub(crate) async fn sealing(&self, at: Epoch, from: Side) -> Result<GateStatus, GateError> {
        self.change(at, |number| Order::Sealing { number, epoch: at, from }).await
    }

    /// A migration begins whose epochs count from `genesis`: a gate that served an earlier one of
    /// this name forgets that one's numbers, or it would refuse every order of this one.
    ///
    /// A gate that is not running is passed over, unless what it left would make it do so later.
    pub(crate) async fn begin(&self, genesis: Epoch) -> Result<(), GateError> {
        let is_older = |obeyed: OrderNumber, route: Option<Route>| {
            obeyed.epoch > genesis || route.is_some_and(|route| route.authority_epoch > genesis)
        };
        match self.status().await {
            Ok(status) if is_older(status.obeyed, status.route) => {
                standing(self.ask(Order::Anew).await?).map(drop)
            }
            Ok(_) => Ok(()),
            Err(unreachable) => {
                let folder = self.socket.parent().unwrap_or(Path::new("."));
                let left = RouteFile::new(folder).read().ok().flatten();
                match left {
                    Some(left) if is_older(left.obeyed, left.route) => Err(unreachable),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Ends the hold.
    pub(crate) async fn release(&self, at: Epoch) -> Result<GateStatus, GateError> {
        self.change(at, |number| Order::Release { number }).await
    }

    /// The work that the hold waits for.
    pub(crate) fn blockers(&self, status: &GateStatus) -> Blockers {
        let open = status.open.iter().filter(|work| work.gate == self.holder);
        Blockers(open.cloned().collect())
    }

    async fn change(
        &self,
        at: Epoch,
        order: impl FnOnce(OrderNumber) -> Order,
    ) -> Result<GateStatus, GateError> {
        let obeyed = self.status().await?.obeyed;
        if obeyed.epoch > at {
            return Err(GateError::Refused(format!(
                "it has obeyed orders of epoch {}, and this run is in epoch {at}: another run \
                 steers it",
                obeyed.epoch
            )));
        }
        let sequence = if obeyed.epoch == at { obeyed.sequence + 1 } else { 1 };
        standing(self.ask(order(OrderNumber { epoch: at, sequence })).await?)
    }

    /// A connection for each order: cheap on a Unix socket, and an order whose future was dropped
    /// half-way leaves no answer behind for the next one to mistake.
    async fn ask(&self, order: Order) -> Result<Answer, GateError> {
        let connection = ControlClient::connect(&self.socket).await?;
        Ok(connection.with_deadline(ANSWER_WITHIN).send(order).await?)
    }
}

fn standing(answer: Answer) -> Result<GateStatus, GateError> {
    match answer {
        Answer::Status(status) => Ok(status),
        Answer::Refused { why, .. } => Err(GateError::Refused(why)),
        Answer::Metrics(_) | Answer::Decided(_) | Answer::Mirror(_) => Err(GateError::Protocol),
    }
}

fn mirrored(answer: Answer) -> Result<MirrorStatus, GateError> {
    match answer {
        Answer::Mirror(status) => Ok(status),
        Answer::Refused { why, .. } => Err(GateError::Refused(why)),
        Answer::Status(_) | Answer::Metrics(_) | Answer::Decided(_) => Err(GateError::Protocol),
    }
}

/// What the gate was started with and the plan says otherwise; both values of each.
fn differences(gate: &GateStatus, plan: &BTreeMap<String, String>) -> Option<String> {
    let mut carries = gate.carries.clone();
    let is_older = carries.is_empty();
    if is_older && plan.contains_key(ROUTES) {
        carries.insert(ROUTES.to_owned(), settings::routes_in_words(gate.routes.iter()));
    }
    let keys: BTreeSet<&String> = match is_older {
        true => carries.keys().collect(),
        false => carries.keys().chain(plan.keys()).collect(),
    };
    let found: Vec<String> = keys
        .into_iter()
        .filter(|key| carries.get(*key) != plan.get(*key))
        .map(|key| {
            let said =
                |of: &BTreeMap<String, String>| of.get(key).cloned().unwrap_or("nothing".into());
            format!("{key} is {} in the gate and {} in the plan", said(&carries), said(plan))
        })
        .collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
