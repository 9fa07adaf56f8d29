//! What the target must have, and must not have yet.

use std::collections::BTreeSet;

use changeover_types::Side;

use super::Severity::{Blocker, High, Low};
use super::{Evidence, Fact, Findings, LeftOver};
use crate::catalog::{Catalog, cell};
use crate::session::Session;

/// Names of tables in `catalog` that hold a row; at most twenty are looked at.
pub(super) async fn filled(session: &mut Session, catalog: &Catalog) -> Fact<Vec<String>> {
    let mut filled = Vec::new();
    for table in catalog.leaves().take(20) {
        let sql = format!("SELECT EXISTS (SELECT FROM ONLY {})::text", table.name.quoted());
        if cell(session, &sql).await.map_err(|e| e.to_string())?.as_deref() == Some("true") {
            filled.push(table.name.to_string());
        }
    }
    Ok(filled)
}

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    if let Err(e) = &evidence.tools {
        findings.add(
            Blocker,
            "tools",
            None,
            ["pg_dump and pg_restore cannot be used".into(), e.clone(), String::new()],
        );
    }
    let ours = left_over(evidence, findings);
    if !ours {
        emptiness(evidence, findings);
    }
    extensions(evidence, findings);
    locales(evidence, findings);
}

/// Whether the target holds something of this migration already, which explains all the rest.
fn left_over(evidence: &Evidence, findings: &mut Findings) -> bool {
    let mut target_is_ours = false;
    for (side, facts) in [(Side::Source, &evidence.source), (Side::Target, &evidence.target)] {
        let topic = "what is left of an earlier attempt";
        let Some(left) = findings.known(Blocker, "left_over", side, topic, &facts.left_over) else {
            continue;
        };
        if left.is_foreign() {
            findings.add(
                Blocker,
                "schema_taken",
                side,
                [
                    "a schema `changeover` exists that is not ours".into(),
                    "we keep our own tables under that name".into(),
                    "Rename it: ALTER SCHEMA changeover RENAME TO …".into(),
                ],
            );
        } else if left.any() {
            target_is_ours |= side == Side::Target;
            findings.add(
                Blocker,
                "left_over",
                side,
                [
                    format!("{} {}", left.whose(), left.words()),
                    "a new start beside it would mix two copies".into(),
                    left.what_to_do().to_owned(),
                ],
            );
        }
    }
    target_is_ours
}

impl LeftOver {
    fn is_foreign(&self) -> bool {
        self.schema.as_ref().is_some_and(|comment| !comment.starts_with("Changeover"))
    }

    fn any(&self) -> bool {
        self.epochs > 0 || self.copied > 0 || !self.slots.is_empty() || self.publication
    }

    fn whose(&self) -> String {
        match &self.run {
            Some((run, since, true)) => {
                format!(
                    "run {run} of this migration lives (since {since}, its slot is in use): it has"
                )
            }
            Some((run, since, false)) => {
                format!("run {run} of this migration (since {since}, its slot rests) left")
            }
            None => "an earlier attempt of this migration left".to_owned(),
        }
    }

    fn what_to_do(&self) -> &'static str {
        if self.run.as_ref().is_some_and(|(_, _, in_use)| *in_use) {
            return "Go on from the host and --state-dir that it was begun with";
        }
        "Continue it with `changeover apply`, or take it back with `changeover abort`, from the host and \
         --state-dir that it was begun with; only if that state folder is lost for good, \
         `changeover abort --force` removes what it left"
    }

    fn words(&self) -> String {
        let mut words = Vec::new();
        if self.epochs > 0 {
            words.push(format!("{} epoch rows", self.epochs));
        }
        if self.copied > 0 {
            words.push(format!("{} copied tables", self.copied));
        }
        if !self.slots.is_empty() {
            words.push(format!("slot {}", self.slots.join(", ")));
        }
        if self.publication {
            words.push("a publication".into());
        }
        words.join(", ")
    }
}

fn emptiness(evidence: &Evidence, findings: &mut Findings) {
    let topic = "whether the target is empty";
    if let Some(filled) =
        findings.known(Blocker, "not_empty", Side::Target, topic, &evidence.filled)
    {
        findings.many(
            Blocker,
            "not_empty",
            Side::Target,
            ["table has rows", "tables have rows"],
            filled,
            [
                "the copy fills empty tables only; nothing of yours is overwritten",
                "Use an empty database, or drop those tables if they are not needed",
            ],
        );
    }
    let source =
        findings.known(Blocker, "objects", Side::Source, "its objects", &evidence.source.objects);
    let target =
        findings.known(Blocker, "objects", Side::Target, "its objects", &evidence.target.objects);
    if let (Some(source), Some(target)) = (source, target) {
        let source: BTreeSet<&String> = source.iter().collect();
        let (both, other): (Vec<&String>, Vec<&String>) = target
            .iter()
            .filter(|object| !evidence.options.placed.contains(*object))
            .partition(|object| source.contains(object));
        findings.many(
            Blocker,
            "exists",
            Side::Target,
            ["object exists already", "objects exist already"],
            both,
            [
                "the schema is restored as it is on the source and cannot replace them",
                "Use an empty database, or drop them",
            ],
        );
        findings.many(
            Low,
            "others",
            Side::Target,
            ["object of its own", "objects of its own"],
            other,
            ["they are left alone", ""],
        );
    }
}

fn extensions(evidence: &Evidence, findings: &mut Findings) {
    let Ok(source) = &evidence.source_catalog else { return };
    let topic = "which extensions can be created";
    let Some(available) = findings.known(
        Blocker,
        "extensions",
        Side::Target,
        topic,
        &evidence.target.available_extensions,
    ) else {
        return;
    };
    let installed = evidence.target_catalog.as_ref().map_or(&[][..], |c| c.extensions.as_slice());
    for extension in &source.extensions {
        let theirs = installed
            .iter()
            .find(|e| e.name == extension.name)
            .map(|e| &e.version)
            .or_else(|| available.get(&extension.name));
        match theirs {
            None => findings.add(
                Blocker,
                "extension_missing",
                Side::Target,
                [
                    format!("extension {} is not available", extension.name),
                    format!("the source uses version {}", extension.version),
                    "Install its package on the target's machine, or DROP EXTENSION on the source"
                        .into(),
                ],
            ),
            Some(version) if older(version, &extension.version) => {
                findings.add(
                    Blocker,
                    "extension_older",
                    Side::Target,
                    [
                        format!("extension {} is version {version}", extension.name),
                        format!("the source uses the newer {}", extension.version),
                        "Update its package on the target's machine".into(),
                    ],
                );
            }
            Some(version) if *version != extension.version => {
                findings.add(
                    Low,
                    "extension_version",
                    Side::Target,
                    [
                        format!("extension {} will be version {version}", extension.name),
                        format!("the source uses {}", extension.version),
                        String::new(),
                    ],
                );
            }
            Some(_) => {}
        }
    }
}

/// Compares versions number by number; what is no number compares as 0.
fn older(a: &str, b: &str) -> bool {
    let parts = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0)).collect()
    };
    parts(a) < parts(b)
}

fn locales(evidence: &Evidence, findings: &mut Findings) {
    let (Ok(a), Ok(b)) = (&evidence.source.server, &evidence.target.server) else { return };
    if a.encoding != b.encoding {
        let utf8 = b.encoding == "UTF8" && a.encoding != "SQL_ASCII";
        findings.add(
            if utf8 { High } else { Blocker },
            "encoding",
            None,
            [
                format!("the encodings differ: {} and {}", a.encoding, b.encoding),
                match utf8 {
                    true => {
                        "texts are converted on the way; on the way back some may have no place in \
                         the source's encoding"
                            .into()
                    }
                    false => "texts may not exist in the other encoding".to_owned(),
                },
                format!(
                    "CREATE DATABASE … ENCODING '{}' TEMPLATE template0 on the target",
                    a.encoding
                ),
            ],
        );
    }
    for (side, facts) in [(Side::Source, &evidence.source), (Side::Target, &evidence.target)] {
        findings.known(High, "locale", side, "the database's locale", &facts.database);
    }
    let (Ok(a), Ok(b)) = (&evidence.source.database, &evidence.target.database) else { return };
    let words = |d: &super::DatabaseFacts| match &d.icu {
        Some(icu) => format!("{} / {} / ICU {icu}", d.collate, d.ctype),
        None => format!("{} / {}", d.collate, d.ctype),
    };
    if words(a) != words(b) || a.provider != b.provider {
        findings.add(
            High,
            "locale",
            None,
            [
                format!("the locales differ: {} and {}", words(a), words(b)),
                "texts sort differently after the move, and unique keys may disagree".into(),
                "Create the target database with the source's locale".into(),
            ],
        );
    }
}
