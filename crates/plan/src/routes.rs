//! Routes of the HTTP gate, and which of them a step moves.

use std::time::Duration;

use changeover_types::{RouteName, RouteRule};
use serde::Serialize;

use crate::model::{HttpGate, Plan, Step};

/// A route of the HTTP gate: requests that are moved, and judged, by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpRoute {
    /// Which requests it takes.
    pub rule: RouteRule,
    /// A request without a good answer at this age is bad.
    pub decide_after: Duration,
}

impl HttpGate {
    /// The names of the routes in their order, the rest last.
    #[must_use]
    pub fn route_names(&self) -> Vec<RouteName> {
        let names = self.routes.iter().map(|route| route.rule.name.clone());
        names.chain([RouteName::rest()]).collect()
    }

    /// The age at which all requests of these routes (of all, if there are none) are decided.
    #[must_use]
    pub fn decide_after_of(&self, routes: &[RouteName]) -> Duration {
        let asked = |name: &RouteName| routes.is_empty() || routes.contains(name);
        let rest = Some(self.decide_after).filter(|_| asked(&RouteName::rest()));
        let own = self.routes.iter().filter(|route| asked(&route.rule.name));
        own.map(|route| route.decide_after).chain(rest).min().unwrap_or(self.decide_after)
    }
}

impl Step {
    /// The route that the step names, if it is about a single one.
    #[must_use]
    pub fn route(&self) -> Option<&RouteName> {
        match self {
            Step::Canary(canary) => canary.route.as_ref(),
            Step::BlueGreen(switch) => switch.route.as_ref(),
            Step::Shift { route, .. } => route.as_ref(),
            _ => None,
        }
    }

    /// The routes that it moves by themselves.
    pub(crate) fn own_routes(&self) -> Vec<&RouteName> {
        match self {
            Step::Phased(phased) => phased.routes.iter().collect(),
            step => step.route().into_iter().collect(),
        }
    }
}

impl Plan {
    /// By which routes' requests the step at this index is judged; empty: by all. A canary that
    /// names no route is about all that no earlier step has moved by itself, and of a phased move
    /// the route at `part` is watched.
    #[must_use]
    pub fn routes_judged(&self, step: usize, part: usize) -> Vec<RouteName> {
        let Some(placed) = self.steps().nth(step) else { return Vec::new() };
        if let Some(route) = placed.step.route() {
            return vec![route.clone()];
        }
        match placed.step {
            Step::Phased(phased) => phased.routes.get(part).cloned().into_iter().collect(),
            Step::Canary(_) => {
                let moved: Vec<&RouteName> =
                    self.steps().take(step).flat_map(|placed| placed.step.own_routes()).collect();
                let names = self.gates.http.as_ref().map(HttpGate::route_names);
                let all = names.filter(|_| !moved.is_empty()).unwrap_or_default();
                all.into_iter().filter(|name| !moved.contains(&name)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Whose requests a step moves, in words.
pub(crate) fn whose(route: Option<&RouteName>, has_routes: bool) -> String {
    match route {
        Some(route) if route.is_rest() => "of the requests that no route takes".to_owned(),
        Some(route) => format!("of the requests of route `{route}`"),
        None if has_routes => "of all requests that no step of their own has moved yet".to_owned(),
        None => "of the requests".to_owned(),
    }
}
