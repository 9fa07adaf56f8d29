//! What contradicts: rules between parts of a plan that are each sound.

use crate::address;
use crate::fault::{FaultKind, Place};
use crate::model::SecretRef;
use crate::read::{Draft, EnvironmentDraft};
use crate::reader::Reader;

mod guards;
mod order;

/// Adds a fault for every contradiction.
pub(crate) fn check(draft: &Draft, reader: &mut Reader) {
    environments(draft, reader);
    same_place(draft, reader);
    gates(draft, reader);
    guards::check(draft, reader);
    match &draft.phases {
        Some(phases) => order::check(draft, phases, reader),
        None => http_without_gate(draft, reader),
    }
}

fn contradiction(reader: &mut Reader, place: Place, path: &str, found: &str, expected: &str) {
    reader.fault(FaultKind::Contradiction, place, path, found, expected);
}

fn environments(draft: &Draft, reader: &mut Reader) {
    let (source, target) = (&draft.source, &draft.target);
    if source.http.is_none() && source.postgres.is_none() {
        let expected = "`http`, `postgres` or both: what there is to move";
        reader.fault(FaultKind::Missing, source.place, "source", "neither", expected);
    }
    one_sided(source.http, target.http, (source, target), "http", reader);
    one_sided(source.postgres, target.postgres, (source, target), "postgres", reader);
    if let (Some(place), None) = (draft.data, source.postgres) {
        let found = "`data` in a plan without a database";
        contradiction(reader, place, "data", found, "`postgres` on both sides, or no `data`");
    }
}

fn one_sided(
    source: Option<Place>,
    target: Option<Place>,
    sides: (&EnvironmentDraft, &EnvironmentDraft),
    what: &str,
    reader: &mut Reader,
) {
    let (has, lacks, place) = match (source, target) {
        (Some(_), None) => ("source", "target", sides.1.place),
        (None, Some(_)) => ("target", "source", sides.0.place),
        _ => return,
    };
    let found = format!("no `{what}`, which the {has} has");
    let expected = format!("`{what}` on both sides or on neither");
    contradiction(reader, place, lacks, &found, &expected);
}

fn same_place(draft: &Draft, reader: &mut Reader) {
    if let (Some(source), Some(target)) = (&draft.source.value.http, &draft.target.value.http) {
        for upstream in target.upstreams.iter().filter(|it| source.upstreams.contains(it)) {
            let place = draft.target.http.unwrap_or(draft.target.place);
            let found = format!("{upstream}, which the source has too");
            let expected = "upstreams of its own for each side";
            contradiction(reader, place, "target.http.upstreams", &found, expected);
        }
    }
    if let (Some(source), Some(target)) =
        (&draft.source.value.postgres, &draft.target.value.postgres)
        && source.url == target.url
    {
        let place = draft.target.postgres.unwrap_or(draft.target.place);
        let found = match &target.url {
            SecretRef::Inline(_) => "the source's URL".to_owned(),
            reference => format!("{reference}, where the source's URL is too"),
        };
        let expected = "a database of its own for each side";
        contradiction(reader, place, "target.postgres.url", &found, expected);
    }
}

fn gates(draft: &Draft, reader: &mut Reader) {
    let gates = &draft.gates;
    for (gate, side, name) in [
        (gates.http, draft.source.http.or(draft.target.http), "http"),
        (gates.postgres, draft.source.postgres.or(draft.target.postgres), "postgres"),
    ] {
        if let (Some(place), None) = (gate, side) {
            let found = format!("a gate for `{name}`, which neither side has");
            let expected = format!("`{name}` on both sides, or no such gate");
            contradiction(reader, place, &format!("gates.{name}"), &found, &expected);
        }
    }
    let http = gates.value.http.as_ref().map(|gate| gate.listen);
    let postgres = gates.value.postgres.as_ref().map(|gate| gate.listen);
    if let (Some(http), Some(postgres)) = (http, postgres)
        && http.port() == postgres.port()
        && (http.ip() == postgres.ip()
            || http.ip().is_unspecified()
            || postgres.ip().is_unspecified())
    {
        let place = gates.postgres.unwrap_or(gates.place);
        let found = format!("{postgres}, where the HTTP gate listens");
        let expected = "an address of its own for each gate";
        contradiction(reader, place, "gates.postgres.listen", &found, expected);
    }
    if let Some(listen) = http {
        own_upstream(draft, listen, reader);
    }
}

/// A gate that is its own upstream would call itself for ever.
fn own_upstream(draft: &Draft, listen: std::net::SocketAddr, reader: &mut Reader) {
    for side in [&draft.source, &draft.target] {
        let upstreams = side.value.http.as_ref().map(|http| &*http.upstreams).unwrap_or_default();
        for upstream in upstreams.iter().filter(|it| address::reaches(it, listen)) {
            let place = draft.gates.http.unwrap_or(draft.gates.place);
            let found = format!("{listen}, which is the upstream {upstream}");
            let expected = "an address that is no upstream";
            contradiction(reader, place, "gates.http.listen", &found, expected);
        }
    }
}

fn http_without_gate(draft: &Draft, reader: &mut Reader) {
    if draft.source.http.is_some() && draft.target.http.is_some() && draft.gates.http.is_none() {
        let found = "no `gates.http`";
        let expected = "`gates: {http: {listen: …}}`: without it nothing moves the requests";
        reader.fault(FaultKind::Missing, draft.gates.place, "gates.http", found, expected);
    }
}
