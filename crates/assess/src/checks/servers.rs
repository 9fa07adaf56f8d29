//! The two servers beside each other: the library that sorts, and the time zone.

use std::collections::BTreeMap;

use crate::check::{Check, Owner, Verdict, both_databases};
use crate::finding::Severity::{High, Medium};
use crate::inventory::{Database, Inventory, Locale};
use changeover_types::Side;

pub(super) const COLLATION: Check = Check {
    id: "R14-collation-version",
    title: "The library that sorts texts has another version",
    severity: High,
    rule: "the version of the library that sorts changed under a database, or differs between \
           databases of one locale",
    why: "indexes are ordered by the library: range queries and unique keys may disagree",
    mitigation: "REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION, on the side that \
                 changed; reindex text indexes after the copy",
    owner: Owner::Database,
    judge: collation,
};

fn collation(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let ours = verdict.known("source: its collation", &source.locale);
        let theirs = verdict.known("target: its collation", &target.locale);
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return };
        for (side, locale) in [(Side::Source, ours), (Side::Target, theirs)] {
            if let (Some(now), Some(then)) = (&locale.version, &locale.recorded)
                && now != then
            {
                let evidence = format!("made with version {then} of its library, now {now}");
                verdict.fires(side, evidence);
            }
        }
        // Other locales are the preflight's affair.
        if let (Some(a), Some(b)) = (&ours.version, &theirs.version)
            && a != b
            && sorting(ours) == sorting(theirs)
        {
            verdict.fires(None, format!("version {a} on the source, {b} on the target"));
        }
    })
}

fn sorting(locale: &Locale) -> [Option<&String>; 4] {
    let Locale { provider, collate, ctype, icu, .. } = locale;
    [provider.as_ref(), Some(collate), Some(ctype), icu.as_ref()]
}

pub(super) const TIME_ZONE: Check = Check {
    id: "R15-time-zone",
    title: "The time zones differ",
    severity: Medium,
    rule: "TimeZone differs between the sides",
    why: "timestamps without a zone shift silently",
    mitigation: "set the same TimeZone",
    owner: Owner::Database,
    judge: time_zone,
};

fn time_zone(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let zones = (zone(Side::Source, source, verdict), zone(Side::Target, target, verdict));
        if let (Some(ours), Some(theirs)) = zones
            && ours != theirs
        {
            let evidence = format!("TimeZone {ours} on the source, {theirs} on the target");
            let found = verdict.fires(Side::Target, evidence);
            if let Ok(server) = target.server.get() {
                let database = changeover_types::quote_ident(&server.database);
                let zone = changeover_types::quote_literal(ours);
                found.mended_by(format!("ALTER DATABASE {database} SET TimeZone = {zone};"));
            }
        }
    })
}

fn zone<'a>(side: Side, database: &'a Database, verdict: &mut Verdict) -> Option<&'a String> {
    let settings: &BTreeMap<_, _> =
        verdict.known(format!("{side}: its settings"), &database.settings)?;
    let zone = settings.get("TimeZone");
    if zone.is_none() {
        verdict.cannot_tell(format!(
            "{side}: TimeZone was not told: our role may not read where it is set (GRANT \
             pg_read_all_settings TO our role)"
        ));
    }
    zone
}
