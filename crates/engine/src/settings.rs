//! From the plan's words to the values that the shells take: secrets are read here and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use changeover_gate::postgres::{
    ClientAuth as GateAuth, GateUser, Password, PostgresGateConfig, ServerConfig,
};
use changeover_gate::state::{GateConfig, GateRoute, HttpGateConfig, HttpLimits, Upstream};
use changeover_plan::{ClientAuth, HttpRoute, Plan, Step};
use changeover_postgres::config::{ConnectConfig, Secret};
use changeover_types::{MigrationName, RouteRule, Side};

use crate::Report;
use crate::databases::{Databases, database};
use crate::secrets::secret;

/// The folder of a migration: below `parent`, or below `$XDG_STATE_HOME/changeover`.
///
/// # Errors
/// If neither a parent, nor `XDG_STATE_HOME`, nor `HOME` is known.
pub fn state_dir(parent: Option<&Path>, name: &MigrationName) -> Result<PathBuf, Report> {
    let parent = match parent {
        Some(parent) => parent.to_owned(),
        None => default_parent().ok_or_else(|| {
            Report::new("CO0101", "where to keep the state of the migration is not known")
                .cause("neither XDG_STATE_HOME nor HOME is set")
                .hint("give a folder with --state-dir")
        })?,
    };
    Ok(parent.join(name.as_str()))
}

fn default_parent() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_STATE_HOME").filter(|value| !value.is_empty());
    let base = base.map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME").filter(|value| !value.is_empty())?;
        Some(PathBuf::from(home).join(".local/state"))
    })?;
    Some(base.join("changeover"))
}

/// Makes the folder, readable by its owner alone.
///
/// # Errors
/// If it cannot be made.
pub fn make_state_dir(folder: &Path) -> Result<(), Report> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| {
        Report::new("CO0102", format!("cannot make the state folder {}", folder.display()))
            .because(&e)
    })
}

/// What a gate of this plan carries, in words: whoever compares two of these sees whether a running
/// gate was started with this plan. What a run may change, or the gate is told, is not in it.
pub(crate) fn carries(plan: &Plan, databases: Option<&Databases>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut say = |key: String, value: String| drop(all.insert(key, value));
    if let Some(gate) = &plan.gates.http {
        say("gates.http.listen".to_owned(), gate.listen.to_string());
        let cookie = gate.sticky_cookie.as_deref();
        say("gates.http.sticky.cookie".to_owned(), cookie.unwrap_or("none").to_owned());
        say("gates.http.decide_after".to_owned(), format!("{:?}", gate.decide_after));
        say(ROUTES.to_owned(), routes_in_words(gate.routes.iter().map(|route| &route.rule)));
        for route in &gate.routes {
            let key = format!("decide_after of the route {}", route.rule.name);
            say(key, format!("{:?}", route.decide_after));
        }
        for side in [Side::Source, Side::Target] {
            let urls = plan.side(side).http.iter().flat_map(|http| http.upstreams.clone());
            let key = format!("{side}.http.upstreams");
            say(key, urls.collect::<Vec<_>>().join(", "));
        }
    }
    if let Some(gate) = &plan.gates.postgres {
        say("gates.postgres.listen".to_owned(), gate.listen.to_string());
        say("gates.postgres.auth".to_owned(), format!("{:?}", gate.auth).to_lowercase());
        let users: Vec<&str> = gate.users.iter().map(|user| user.name.as_str()).collect();
        say("gates.postgres.users".to_owned(), users.join(", "));
        if !gate.settings.is_empty() {
            say("gates.postgres.settings".to_owned(), gate.settings.join(", "));
        }
        for (side, databases) in [Side::Source, Side::Target].into_iter().zip([databases; 2]) {
            let Some(config) = databases.map(|both| both.of(side)) else { continue };
            let place = format!("{}:{}/{}", config.host, config.port, config.database);
            say(format!("{side}.postgres"), place);
        }
    }
    all
}

/// The key of the routes, which older gates tell in another way.
pub(crate) const ROUTES: &str = "gates.http.routes";

/// Routes in a few words, with what they take: the names alone may be the same.
pub(crate) fn routes_in_words<'a>(routes: impl Iterator<Item = &'a RouteRule>) -> String {
    let one = |rule: &RouteRule| {
        let paths = rule.paths.iter().map(|path| path.as_str());
        let methods = rule.methods.iter().map(|it| &**it);
        let takes: Vec<&str> =
            rule.host.as_deref().into_iter().chain(methods).chain(paths).collect();
        format!("{}: {}", rule.name, takes.join(" "))
    };
    let all: Vec<String> = routes.map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join("; ") }
}

/// What the gate process is told.
///
/// # Errors
/// If the plan has no gate, or a secret cannot be had.
pub(crate) fn gate(plan: &Plan, plan_path: &Path, state_dir: &Path) -> Result<GateConfig, Report> {
    if plan.gates.http.is_none() && plan.gates.postgres.is_none() {
        return Err(Report::new("CO0106", "the plan has no gate to run")
            .hint("add `gates:` with `http` or `postgres` to the plan"));
    }
    let upstreams = |side: Side| -> Result<Vec<Upstream>, Report> {
        let http = plan.side(side).http.as_ref();
        let urls = http.map(|http| http.upstreams.as_slice()).unwrap_or_default();
        urls.iter().map(|url| upstream(url)).collect()
    };
    let http = match &plan.gates.http {
        Some(gate) => Some(HttpGateConfig {
            listen: gate.listen,
            sticky_cookie: gate.sticky_cookie.clone(),
            source: upstreams(Side::Source)?,
            target: upstreams(Side::Target)?,
            holds: plan.gates.postgres.is_none(),
            decide_after: gate.decide_after,
            limits: http_limits(&gate.limits),
            routes: gate.routes.iter().map(route).collect(),
            warm_up: plan
                .steps()
                .filter_map(|placed| match placed.step {
                    Step::Canary(canary) => Some(canary.warm_up),
                    _ => None,
                })
                .max()
                .unwrap_or_default(),
        }),
        None => None,
    };
    let postgres = match &plan.gates.postgres {
        Some(_) => Some(postgres_gate(plan, plan_path)?),
        None => None,
    };
    Ok(GateConfig {
        migration: plan.name.clone(),
        state_dir: state_dir.to_owned(),
        socket: state_dir.join("gate.sock"),
        carries: carries(plan, Databases::of_plan(plan, plan_path).ok().flatten().as_ref()),
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        http,
        postgres,
    })
}

fn http_limits(limits: &changeover_plan::HttpLimits) -> HttpLimits {
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    HttpLimits {
        connections: count(limits.connections),
        upstream_connections: count(limits.upstream_connections),
        head: limits.head_timeout,
        idle: limits.idle_timeout,
        body: limits.body_timeout,
        answer: limits.answer_timeout,
        queue: limits.queue_timeout,
    }
}

fn route(route: &HttpRoute) -> GateRoute {
    GateRoute { rule: route.rule.clone(), decide_after: route.decide_after }
}

/// An upstream's address.
pub(crate) fn upstream(url: &str) -> Result<Upstream, Report> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    authority
        .rsplit_once(':')
        .and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Some(Upstream { host, port: port.parse().ok()? })
        })
        .ok_or_else(|| {
            Report::new("CO0107", format!("the upstream {url} cannot be used"))
                .cause("it is not http://host:port")
        })
}

/// How a client of the PostgreSQL gate comes in: as its first user; where everybody is trusted, as
/// the one whom the side with authority knows.
///
/// # Errors
/// If the plan has no such gate, or a secret cannot be had.
pub(crate) fn client_of_gate(
    plan: &Plan,
    plan_path: &Path,
    authority: Side,
) -> Result<ConnectConfig, Report> {
    let Some(gate) = &plan.gates.postgres else {
        return Err(Report::new("CO0106", "the plan has no PostgreSQL gate"));
    };
    let mut config = database(plan, plan_path, authority)?;
    let host = match gate.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (config.host, config.port, config.password) = (host.to_string(), gate.listen.port(), None);
    if let Some(user) = gate.users.first() {
        let what = format!("the password of the gate's user {}", user.name);
        config.password = Some(Secret::new(secret(&user.password, plan_path, &what)?));
        config.user.clone_from(&user.name);
    }
    Ok(config)
}

fn postgres_gate(plan: &Plan, plan_path: &Path) -> Result<PostgresGateConfig, Report> {
    let Some(gate) = &plan.gates.postgres else {
        return Err(Report::new("CO0106", "the plan has no PostgreSQL gate"));
    };
    let mut users = Vec::with_capacity(gate.users.len());
    for user in &gate.users {
        let what = format!("the password of the gate's user {}", user.name);
        let password = secret(&user.password, plan_path, &what)?;
        users.push(GateUser { name: user.name.clone(), password: Password::new(password) });
    }
    let server = |side: Side| -> Result<ServerConfig, Report> {
        let config = database(plan, plan_path, side)?;
        Ok(ServerConfig {
            host: config.host,
            port: config.port,
            database: config.database,
            user: config.user,
            password: config.password.map(|password| Password::new(password.expose())),
        })
    };
    let mut config =
        PostgresGateConfig::new(gate.listen, server(Side::Source)?, server(Side::Target)?);
    config.users = users;
    config.watch_settings = gate.settings.clone();
    config.max_clients = usize::try_from(gate.limits.clients).unwrap_or(usize::MAX);
    config.login_timeout = gate.limits.login_timeout;
    config.auth = match gate.auth {
        ClientAuth::Trust => GateAuth::Trust,
        ClientAuth::Password => GateAuth::Password,
        ClientAuth::Scram => GateAuth::Scram,
    };
    Ok(config)
}
