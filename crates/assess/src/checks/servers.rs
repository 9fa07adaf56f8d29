//! The two servers beside each other: version, extensions, sorting, encoding.

use std::collections::BTreeMap;

use crate::check::{Check, Owner, Verdict, both_databases};
use crate::finding::Severity::{Blocker, High, Medium};
use crate::inventory::{Database, Inventory, Locale};
use changeover_types::Side;

pub(super) const EXTENSIONS: Check = Check {
    id: "R12-extensions",
    title: "Extensions that the target lacks",
    severity: Blocker,
    rule: "an extension of the source is missing or older on the target",
    why: "the schema cannot be restored without it, or behaves differently",
    mitigation: "install or update its package on the target's machine, or drop it on the source",
    owner: Owner::Database,
    judge: extensions,
};

fn extensions(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let Some(needed) = verdict.known("source: its extensions", &source.extensions) else {
            return;
        };
        let installed = verdict.known("target: its extensions", &target.extensions);
        let available = verdict.known("target: what can be installed", &target.available);
        let (Some(installed), Some(available)) = (installed, available) else { return };
        for extension in needed {
            let theirs = installed.iter().find(|it| it.name == extension.name);
            let theirs = theirs.map(|it| &it.version).or_else(|| available.get(&extension.name));
            let name = changeover_types::quote_ident(&extension.name);
            match theirs {
                None => {
                    let evidence = format!("{} {} is missing", extension.name, extension.version);
                    let found = verdict.fires(Side::Target, evidence);
                    found.mended_by(format!(
                        "CREATE EXTENSION {name}; -- after its package is installed"
                    ));
                }
                Some(theirs) if older(theirs, &extension.version) => {
                    let evidence = format!(
                        "{} is {theirs}, the source has {}",
                        extension.name, extension.version
                    );
                    let found = verdict.fires(Side::Target, evidence);
                    found.mended_by(format!("ALTER EXTENSION {name} UPDATE;"));
                }
                Some(_) => {}
            }
        }
    })
}

/// Compares versions number by number; what is no number compares as 0.
fn older(a: &str, b: &str) -> bool {
    let parts = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0)).collect()
    };
    parts(a) < parts(b)
}

pub(super) const VERSION: Check = Check {
    id: "R13-version",
    title: "The target is an older PostgreSQL",
    severity: Blocker,
    rule: "the target's major version is below the source's",
    why: "a schema restores only into the same or a newer version",
    mitigation: "use a target of the source's major version or newer",
    owner: Owner::Database,
    judge: version,
};

fn version(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let ours = verdict.known("source: its version", &source.server);
        let theirs = verdict.known("target: its version", &target.server);
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && theirs.major < ours.major
        {
            let evidence = format!("PostgreSQL {} after {}", theirs.major, ours.major);
            verdict.fires(Side::Target, evidence);
        }
    })
}

pub(super) const COLLATION: Check = Check {
    id: "R14-collation",
    title: "Texts sort differently",
    severity: High,
    rule: "collation, ICU locale, or the version of the library that sorts differ, or changed \
           under a database",
    why: "indexes are ordered by the library: range queries and unique keys may disagree",
    mitigation: "create the target with the source's locale; reindex text indexes after the copy",
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
                let fix = "ALTER DATABASE … REFRESH COLLATION VERSION; -- after REINDEX DATABASE";
                verdict.fires(side, evidence).mended_by(fix);
            }
        }
        if sorting(ours) != sorting(theirs) {
            let evidence = format!(
                "{} on the source, {} on the target",
                sorting(ours).join(" / "),
                sorting(theirs).join(" / ")
            );
            verdict.fires(None, evidence);
        }
    })
}

fn sorting(locale: &Locale) -> Vec<String> {
    let provider = match locale.provider.as_deref() {
        Some("i") => "ICU",
        Some("b") => "built in",
        _ => "libc",
    };
    let mut words = vec![provider.to_owned(), locale.collate.clone()];
    if locale.ctype != locale.collate {
        words.push(locale.ctype.clone());
    }
    words.extend(locale.icu.clone());
    words.extend(locale.version.as_ref().map(|version| format!("version {version}")));
    words
}

pub(super) const ENCODING: Check = Check {
    id: "R15-encoding",
    title: "Encoding or time zone differ",
    severity: Blocker,
    rule: "the encodings differ; medium if only the time zone does",
    why: "texts may not exist in the other encoding; timestamps without a zone shift silently",
    mitigation: "create the target with the source's encoding; set the same TimeZone",
    owner: Owner::Database,
    judge: encoding,
};

fn encoding(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let ours = verdict.known("source: its encoding", &source.server);
        let theirs = verdict.known("target: its encoding", &target.server);
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && ours.encoding != theirs.encoding
        {
            let evidence =
                format!("{} on the source, {} on the target", ours.encoding, theirs.encoding);
            let encoding = changeover_types::quote_literal(&ours.encoding);
            verdict.fires(None, evidence).mended_by(format!(
                "CREATE DATABASE … ENCODING {encoding} TEMPLATE template0; -- on the target"
            ));
        }
        let zones = (zone(Side::Source, source, verdict), zone(Side::Target, target, verdict));
        if let (Some(ours), Some(theirs)) = zones
            && ours != theirs
        {
            let evidence = format!("TimeZone {ours} on the source, {theirs} on the target");
            let zone = changeover_types::quote_literal(ours);
            let fix = format!("ALTER DATABASE … SET TimeZone = {zone}; -- on the target");
            verdict.fires(None, evidence).only(Medium).mended_by(fix);
        }
    })
}

fn zone<'a>(side: Side, database: &'a Database, verdict: &mut Verdict) -> Option<&'a String> {
    let settings: &BTreeMap<_, _> =
        verdict.known(format!("{side}: its settings"), &database.settings)?;
    let zone = settings.get("TimeZone");
    if zone.is_none() {
        verdict.cannot_tell(format!("{side}: TimeZone was not told"));
    }
    zone
}
