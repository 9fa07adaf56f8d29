//! Gathers what an assessment judges: both databases, both sides' upstreams. Looks, changes
//! nothing, and never fails as a whole: what cannot be had is a fact that says why.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use changeover_assess::inventory::{Database, Environment};
use changeover_assess::register::{Finding, Findings};
use changeover_assess::{Inventory, Severity};
use changeover_plan::{Plan, SecretRef};
use changeover_postgres::catalog::Selection;
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::facts::{self, Gathering};
use changeover_postgres::preflight;
pub use changeover_postgres::preflight::Options;
use changeover_postgres::session::Session;
use changeover_probe::Asking;
use changeover_types::{MigrationName, Side, WallMs};

use crate::Report;
use crate::preflight::UNREADABLE;
use crate::secrets;

/// Where one side is.
#[derive(Clone, Debug, Default)]
pub struct GivenSide {
    /// Its database.
    pub database: Option<SecretRef>,
    /// Its upstreams, `http://` or `https://`.
    pub upstreams: Vec<String>,
}

/// What is to be looked at, and for how long.
#[derive(Clone, Debug)]
pub struct Given {
    /// The migration's name: its own slots and publications are no findings.
    pub name: MigrationName,
    /// Where the service lives.
    pub source: GivenSide,
    /// Where it goes.
    pub target: GivenSide,
    /// Relative paths of secrets start in this file's folder.
    pub beside: PathBuf,
    /// Schemas or tables that move; everything if empty.
    pub include: Vec<String>,
    /// Schemas or tables that do not.
    pub exclude: Vec<String>,
    /// The path of the health endpoint; the usual ones are tried if it is not known.
    pub health: Option<String>,
    /// Time between the two samples of the change rate.
    pub sample: Duration,
    /// The longest that one question to a database or upstream may take.
    pub limit: Duration,
}

impl Given {
    /// What a plan names.
    #[must_use]
    pub fn of_plan(plan: &Plan, path: &Path, sample: Duration, limit: Duration) -> Given {
        let side = |side: Side| {
            let environment = plan.side(side);
            GivenSide {
                database: environment.postgres.as_ref().map(|it| it.url.clone()),
                upstreams: environment.http.as_ref().map_or(Vec::new(), |it| it.upstreams.clone()),
            }
        };
        Given {
            name: plan.name.clone(),
            source: side(Side::Source),
            target: side(Side::Target),
            beside: path.to_owned(),
            include: plan.data.include.clone(),
            exclude: plan.data.exclude.clone(),
            health: None,
            sample,
            limit,
        }
    }

    fn side(&self, side: Side) -> &GivenSide {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// Gathers from both sides at the same time. `progress` is told what is being done.
///
/// # Errors
/// Only if the include or exclude list cannot be read: what cannot be reached is unknown.
pub async fn inventory(
    given: &Given,
    at: WallMs,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Inventory, Report> {
    let gathering =
        Gathering { selection: selection(given)?, sample: given.sample, statement: given.limit };
    let side = |side| environment(given, &gathering, side, progress);
    let (source, target) = tokio::join!(side(Side::Source), side(Side::Target));
    Ok(Inventory { source, target, ..Inventory::empty(at) })
}

/// What the preflight says of the sides that could be read, and that another could not: as much as
/// `plan` finds. Changes nothing.
///
/// # Errors
/// Only if the include or exclude list cannot be read.
pub async fn preflight(
    given: &Given,
    inventory: &Inventory,
    options: Options,
) -> Result<Vec<Finding>, Report> {
    let selection = selection(given)?;
    let mut findings = Findings::default();
    let mut sessions = Vec::new();
    for side in [Side::Source, Side::Target] {
        let Some(reference) = &given.side(side).database else { continue };
        let known = inventory.unread().into_iter().find(|(unread, _)| *unread == side);
        let session = match known {
            Some((_, why)) => Err(why.to_owned()),
            None => connect(given, side, reference).await,
        };
        match session {
            Ok(session) => sessions.push(session),
            Err(why) => findings.add(
                Severity::Blocker,
                UNREADABLE,
                side,
                [
                    "the database could not be read".into(),
                    why,
                    "Mend the cause, then assess again: nothing is known of this side".into(),
                ],
            ),
        }
    }
    let mut found = match sessions.as_mut_slice() {
        [source, target] => preflight::check(source, target, &selection, options).await.findings,
        [one] => preflight::check_one(one, &selection, options).await,
        _ => Vec::new(),
    };
    found.splice(0..0, findings.finish());
    Ok(found)
}

async fn connect(given: &Given, side: Side, reference: &SecretRef) -> Result<Session, String> {
    let url = secrets::secret(reference, &given.beside, "the URL").map_err(|it| it.headline)?;
    let mut config = ConnectConfig::parse(side, &url).map_err(|e| e.to_string())?;
    config.connect_timeout = config.connect_timeout.min(given.limit);
    Session::connect(&config, "changeover assess").await.map_err(|e| e.to_string())
}

fn selection(given: &Given) -> Result<Selection, Report> {
    Selection::new(given.name.clone(), &given.include, &given.exclude)
        .map_err(|e| Report::new("CO0151", "data.include or data.exclude").because(&e))
}

async fn environment(
    given: &Given,
    gathering: &Gathering,
    side: Side,
    progress: &(dyn Fn(&str) + Sync),
) -> Environment {
    let asking = Asking { health: given.health.clone(), requests: 5, limit: given.limit };
    let upstreams = async {
        let mut upstreams = Vec::new();
        for url in &given.side(side).upstreams {
            progress(&format!("{side}: asking {url}"));
            upstreams.push(changeover_probe::ask(url, &asking).await);
        }
        upstreams
    };
    let (database, upstreams) = tokio::join!(database(given, gathering, side, progress), upstreams);
    Environment { database: database.map(Box::new), upstreams }
}

async fn database(
    given: &Given,
    gathering: &Gathering,
    side: Side,
    progress: &(dyn Fn(&str) + Sync),
) -> Option<Database> {
    let reference = given.side(side).database.as_ref()?;
    let place = reference.to_string();
    let what = format!("the URL of the {side}'s database");
    let config = secrets::secret(reference, &given.beside, &what)
        .map_err(|report| (report.headline, report.chain))
        .and_then(|url| ConnectConfig::parse(side, &url).map_err(|e| (e.to_string(), Vec::new())));
    match config {
        Ok(mut config) => {
            config.connect_timeout = config.connect_timeout.min(given.limit);
            progress(&format!("{side}: reading {}", config.redacted()));
            Some(facts::gather(&config, gathering).await)
        }
        Err((headline, chain)) => {
            let why = std::iter::once(headline).chain(chain).collect::<Vec<_>>().join(": ");
            Some(facts::unreachable(&place, &why))
        }
    }
}

/// Two loopback addresses that nobody listens on now: `preferred` ports where they are free.
#[must_use]
pub fn free_addresses(preferred: [u16; 2]) -> [Option<SocketAddr>; 2] {
    // Both are held until both are known, so that they differ.
    let listeners = preferred.map(|port| {
        let local = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        local(port).or_else(|_| local(0)).ok()
    });
    listeners.map(|listener| listener.and_then(|it| it.local_addr().ok()))
}
