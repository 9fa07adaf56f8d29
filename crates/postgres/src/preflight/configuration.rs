//! Rows that users keep in tables of extensions.

use changeover_types::Side;

use super::Severity::{High, Medium};
use super::{Evidence, Findings};

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    let topic = "the configuration tables of extensions";
    let Some(tables) =
        findings.known(High, "extension_rows", Side::Source, topic, &evidence.source.configuration)
    else {
        return;
    };
    let filled = tables.iter().filter(|table| table.rows.is_some_and(|rows| rows > 0));
    findings.many(
        Medium,
        "extension_rows",
        Side::Source,
        [
            "configuration table of an extension has rows",
            "configuration tables of extensions have rows",
        ],
        filled.map(|it| {
            let rows = it.rows.unwrap_or_default();
            format!("{rows} rows of {} (configuration of extension {})", it.table, it.extension)
        }),
        [
            "as in pg_dump they are copied once, and what is written there later stays behind; an \
             extension that acts on its rows, as pg_cron does, acts on both sides from then on",
            "Change nothing there until the migration is over",
        ],
    );
    let unreadable = tables.iter().filter(|table| table.rows.is_none());
    findings.many(
        High,
        "extension_rows_unreadable",
        Side::Source,
        [
            "configuration table of an extension is closed to us",
            "configuration tables of extensions are closed to us",
        ],
        unreadable.map(|it| format!("{} of extension {}", it.table, it.extension)),
        ["rows that users put there would stay behind unseen", "GRANT SELECT on them to our role"],
    );
}
