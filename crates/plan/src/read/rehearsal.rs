//! `rehearsal`: where the plan may be tried out.

use crate::fault::{FaultKind, Place};
use crate::model::{Environment, Rehearsal};
use crate::reader::{Fields, Reader};

use super::environment;

/// The place of the key, and what it names.
pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<(Place, Rehearsal)> {
    let field = fields.get("rehearsal")?;
    let place = fields.key_place("rehearsal");
    let mut fields = reader.map(&field)?;
    let expected = "`postgres: {url: …}`: an empty database that may be thrown away";
    let postgres = fields.need("postgres", expected, reader);
    let http = fields.get("http").and_then(|field| environment::http(&field, reader));
    fields.done(&["second"], reader);
    let postgres = postgres?;
    let mut fields = reader.map(&postgres)?;
    let expected = "`url: {env: NAME}` or `url: {file: PATH}`";
    let url = fields.need("url", expected, reader);
    fields.done(&[], reader);
    Some((place, Rehearsal { postgres: environment::url(&url?, reader)?, http }))
}

/// What is tried out must not touch what the plan is about.
pub(super) fn check(
    rehearsal: Option<(Place, Rehearsal)>,
    sides: &[(&str, &Environment); 2],
    reader: &mut Reader,
) -> Option<Rehearsal> {
    let (place, rehearsal) = rehearsal?;
    let mut fault = |path: &str, found: &str, expected: &str| {
        reader.fault(FaultKind::Contradiction, place, path, found, expected);
    };
    let url = "rehearsal.postgres.url";
    if sides.iter().all(|(_, side)| side.postgres.is_none()) {
        fault(url, "`rehearsal` in a plan without a database", "`postgres` on both sides");
    }
    let own = "a database of its own, empty, that may be thrown away";
    for (side, its) in sides {
        if its.postgres.as_ref().is_some_and(|it| it.url == rehearsal.postgres) {
            fault(url, &format!("the {side}'s URL"), own);
        }
    }
    let Some(http) = &rehearsal.http else { return Some(rehearsal) };
    let path = "rehearsal.http.upstreams";
    if sides.iter().any(|(_, side)| side.http.is_none()) {
        fault(path, "`rehearsal.http` in a plan without HTTP", "`http` on both sides");
    }
    for (side, its) in sides {
        let upstreams = its.http.iter().flat_map(|it| &it.upstreams);
        for upstream in upstreams.filter(|it| http.upstreams.contains(it)) {
            let expected = "upstreams of its own, on the throw-away database";
            fault(path, &format!("{upstream}, which is the {side}'s"), expected);
        }
    }
    Some(rehearsal)
}
