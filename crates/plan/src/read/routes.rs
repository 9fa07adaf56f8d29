//! `gates.http.routes`, and the routes that steps name.

use std::time::Duration;

use changeover_types::{PathRule, RouteName, RouteRule};

use crate::canary::Phased;
use crate::fault::FaultKind;
use crate::model::Step;
use crate::reader::{Field, Fields, Reader};
use crate::routes::HttpRoute;

use super::{canary, duration};

const UNBUILT: &[&str] = &["headers", "query", "matches", "upstreams"];
const ROUTES_MAX: usize = 32;
const PATHS_MAX: usize = 64;
const METHODS_MAX: usize = 16;
const NAME: &str = "a name of a-z, 0-9, _ and -, starting with a letter";

pub(super) fn read(
    field: &Field<'_>,
    decide_after: Duration,
    reader: &mut Reader,
) -> Vec<HttpRoute> {
    let Some(items) = reader.list(field, "routes") else { return Vec::new() };
    if items.is_empty() || items.len() > ROUTES_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {ROUTES_MAX} routes"));
        reader.hint("leave `routes` out to move all requests alike");
    }
    let mut routes: Vec<HttpRoute> = Vec::new();
    for item in &items {
        let route = route(item, decide_after, &routes, reader);
        routes.extend(route);
    }
    routes
}

fn route(
    field: &Field<'_>,
    otherwise: Duration,
    earlier: &[HttpRoute],
    reader: &mut Reader,
) -> Option<HttpRoute> {
    let mut fields = reader.map(field)?;
    let name = own_name(&mut fields, earlier, reader);
    let host_field = fields.get("host");
    let methods_field = fields.get("methods");
    let paths_field = fields.get("paths");
    let limits = (Duration::from_millis(50), Duration::from_secs(60));
    let age = fields.get("decide_after").and_then(|field| duration(&field, limits, reader));
    fields.done(UNBUILT, reader);
    // All are read before any is missed: each fault is told.
    let host = host_field.as_ref().map(|field| host(field, reader));
    let methods = methods_field.as_ref().map(|field| methods(field, reader));
    let paths = paths_field.as_ref().map(|field| paths(field, reader));
    if host.is_none() && methods.is_none() && paths.is_none() {
        let (found, expected) = ("no `paths`, `methods` or `host`", "at least one of them");
        reader.fault(FaultKind::Missing, field.place(), &field.path, found, expected);
        reader.hint("what no route takes is `rest`: it needs no entry");
        return None;
    }
    let host = host.map_or(Some(None), |host| host.map(Some))?;
    let (methods, paths) =
        (methods.unwrap_or(Some(Vec::new()))?, paths.unwrap_or(Some(Vec::new()))?);
    let whole = paths.is_empty().then_some(field);
    let places = paths.iter().map(|(field, _)| field).chain(whole).cloned().collect::<Vec<_>>();
    let paths = paths.into_iter().map(|(_, path)| path).collect();
    let rule = RouteRule { name: name?, host, methods, paths };
    never_reached(&rule, &places, earlier, reader);
    Some(HttpRoute { rule, decide_after: age.unwrap_or(otherwise) })
}

fn own_name(
    fields: &mut Fields<'_>,
    earlier: &[HttpRoute],
    reader: &mut Reader,
) -> Option<RouteName> {
    let field = fields.need("name", NAME, reader)?;
    let name =
        reader.parsed(&field, FaultKind::WrongValue, NAME, |text| RouteName::new(text).ok())?;
    if name.is_rest() {
        reader.bad(FaultKind::WrongValue, &field, "another name");
        reader.hint("`rest` is what no route takes: steps may name it, and it needs no entry");
    } else if earlier.iter().any(|it| it.rule.name == name) {
        let found = format!("the route `{name}` a second time");
        let expected = "a name of its own for each route";
        reader.fault(FaultKind::Contradiction, field.place(), &field.path, found, expected);
    }
    Some(name)
}

/// A path whose requests all belong to earlier routes would be moved by nobody who reads the plan.
fn never_reached(
    rule: &RouteRule,
    places: &[Field<'_>],
    earlier: &[HttpRoute],
    reader: &mut Reader,
) {
    let paths = rule.paths.iter().map(Some).chain(rule.paths.is_empty().then_some(None));
    for (path, place) in paths.zip(places) {
        let taken_by = |method: Option<&str>| {
            let host = rule.host.as_deref();
            earlier.iter().find(|it| it.rule.takes_all_of(host, method, path))
        };
        let methods = rule.methods.iter().map(|it| Some(&**it));
        let methods = methods.chain(rule.methods.is_empty().then_some(None));
        let takers: Option<Vec<&HttpRoute>> = methods.map(taken_by).collect();
        let Some(taker) = takers.as_ref().and_then(|takers| takers.first()) else { continue };
        let what = path.map_or_else(|| "all of it".to_owned(), |path| path.as_str().to_owned());
        let found = format!("{what}, which the earlier route `{}` takes", taker.rule.name);
        let expected = "the narrower route first, for the first one that takes a request has it";
        reader.fault(FaultKind::Contradiction, place.place(), &place.path, found, expected);
    }
}

fn host(field: &Field<'_>, reader: &mut Reader) -> Option<String> {
    let expected = "a host's name without a port, like shop.example.com";
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let name = |text: &str| {
        let sound = text.len() <= 253 && text.bytes().all(word) && !text.ends_with('.');
        sound.then(|| text.to_ascii_lowercase())
    };
    reader.parsed(field, FaultKind::WrongValue, expected, name)
}

fn methods(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<String>> {
    let items = reader.list(field, "methods like [GET, HEAD]")?;
    if items.is_empty() || items.len() > METHODS_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {METHODS_MAX} methods"));
        return None;
    }
    let expected = "a method in capitals, like GET";
    let word = |b: u8| b.is_ascii_uppercase() || b == b'-';
    let method = |text: &str| (text.len() <= 32 && text.bytes().all(word)).then(|| text.to_owned());
    let read =
        items.iter().map(|item| reader.parsed(item, FaultKind::WrongValue, expected, method));
    read.collect::<Vec<_>>().into_iter().collect()
}

fn paths<'a>(field: &Field<'a>, reader: &mut Reader) -> Option<Vec<(Field<'a>, PathRule)>> {
    let items = reader.list(field, "paths like [/search, /products/]")?;
    if items.is_empty() || items.len() > PATHS_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {PATHS_MAX} paths"));
        return None;
    }
    let expected = "a path like /search (exactly this one) or /products/ (all that begins with it)";
    let path = |text: &str| PathRule::new(text).filter(|_| !text.contains(['*', '{']));
    let mut read = Vec::new();
    for item in &items {
        let path = reader.parsed(item, FaultKind::WrongValue, expected, path);
        read.push(path.map(|path| (item.clone(), path)));
    }
    read.into_iter().collect()
}

/// The route that a step names.
pub(super) fn named(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<RouteName> {
    let field = fields.get("route")?;
    let expected = "a route of `gates.http.routes`, or `rest`";
    reader.parsed(&field, FaultKind::WrongValue, expected, |text| RouteName::new(text).ok())
}

/// `phased`.
pub(super) fn phased(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Step> {
    let field = fields.need("routes", "the routes in their order, like [search, rest]", reader);
    let switch = canary::switch(fields, "each", reader);
    let field = field?;
    let items = reader.list(&field, "routes")?;
    if items.is_empty() {
        reader.bad(FaultKind::WrongValue, &field, "at least one route");
    }
    let expected = "a route of `gates.http.routes`, or `rest`";
    let mut routes: Vec<RouteName> = Vec::new();
    for item in &items {
        let name = |text: &str| RouteName::new(text).ok();
        let route = reader.parsed(item, FaultKind::WrongValue, expected, name)?;
        if routes.contains(&route) {
            reader.bad(FaultKind::Contradiction, item, "each route once");
        } else {
            routes.push(route);
        }
    }
    Some(Step::Phased(Phased { routes, each: switch.watch, false_alarm: switch.false_alarm }))
}
