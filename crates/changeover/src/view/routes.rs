//! Routes in a status: each one's share, and what its requests have met.

use changeover_engine::protocol::{GatesStatus, RouteStatus, RunStatus};
use changeover_run::State;
use changeover_types::{RouteName, Side};

use super::{grouped, share};

/// The target's share of the requests; with routes that of each.
pub(super) fn shares(status: &RunStatus) -> String {
    let one = |route: &RouteStatus| format!("{} {}", route.name, share(route.target_permille));
    match status.routes.as_slice() {
        [] => share(status.target_permille),
        routes => routes.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

/// The same, as the journal tells it: the routes that steps of their own have moved, and all others.
pub(crate) fn journalled_shares(state: &State) -> String {
    let common = share(state.target_permille);
    let own = state.split.own.iter();
    let own: Vec<String> =
        own.map(|(name, own)| format!("{name} {}", share(own.target_permille))).collect();
    if own.is_empty() { common } else { format!("{}, all others {common}", own.join(", ")) }
}

/// ` of search, rest`; nothing for all requests.
pub(super) fn of(routes: &[RouteName]) -> String {
    match routes {
        [] => String::new(),
        routes => {
            let names: Vec<&str> = routes.iter().map(RouteName::as_str).collect();
            format!(" of {}", names.join(", "))
        }
    }
}

/// Requests and failures of each route since the gate started, by the side that answered.
pub(super) fn traffic(gates: &GatesStatus) -> Option<String> {
    let mut all = Vec::new();
    for (name, sides) in &gates.routes {
        let mut parts = Vec::new();
        for side in [Side::Source, Side::Target] {
            let Some(seen) = sides.get(&side).filter(|seen| seen.requests > 0) else { continue };
            let failed = seen.errors as f64 / seen.requests as f64 * 100.0;
            parts.push(format!("{} on the {side} ({failed:.2} % failed)", grouped(seen.requests)));
        }
        if !parts.is_empty() {
            all.push(format!("{name} {}", parts.join(" and ")));
        }
    }
    (!all.is_empty()).then(|| all.join(", "))
}
