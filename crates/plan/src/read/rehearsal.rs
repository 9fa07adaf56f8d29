//! `rehearsal`: where the plan may be tried out.

use crate::fault::{FaultKind, Place};
use crate::model::SecretRef;
use crate::reader::{Fields, Reader};

use super::environment;

/// The place of the key, and where the throw-away database is.
pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<(Place, SecretRef)> {
    let field = fields.get("rehearsal")?;
    let place = fields.key_place("rehearsal");
    let mut fields = reader.map(&field)?;
    let expected = "`postgres: {url: …}`: an empty database that may be thrown away";
    let postgres = fields.need("postgres", expected, reader);
    fields.done(&["http", "second"], reader);
    let postgres = postgres?;
    let mut fields = reader.map(&postgres)?;
    let expected = "`url: {env: NAME}` or `url: {file: PATH}`";
    let url = fields.need("url", expected, reader);
    fields.done(&[], reader);
    Some((place, environment::url(&url?, reader)?))
}

/// The throw-away database must not be one of the plan's.
pub(super) fn check(
    rehearsal: Option<(Place, SecretRef)>,
    sides: &[(&str, Option<SecretRef>); 2],
    reader: &mut Reader,
) -> Option<SecretRef> {
    let (place, url) = rehearsal?;
    let path = "rehearsal.postgres.url";
    if sides.iter().all(|(_, side)| side.is_none()) {
        let found = "`rehearsal` in a plan without a database";
        reader.fault(FaultKind::Contradiction, place, path, found, "`postgres` on both sides");
    }
    for (side, _) in sides.iter().filter(|(_, its)| its.as_ref() == Some(&url)) {
        let found = format!("the {side}'s URL");
        let expected = "a database of its own, empty, that may be thrown away";
        reader.fault(FaultKind::Contradiction, place, path, found, expected);
    }
    Some(url)
}
