//! Whether the tablespaces that the source's objects are in are on the target, and open to us.

use std::collections::{BTreeMap, BTreeSet};

use changeover_types::{Side, quote_ident};

use super::Severity::Blocker;
use super::{Evidence, Fact, Findings, Thing};
use crate::catalog::{Selection, json};
use crate::session::Session;

/// Tablespaces by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tablespaces {
    /// Those that something which moves is in, on the source; not the database's own.
    pub used: BTreeSet<String>,
    /// Those of the target, and whether our role may create in them.
    pub there: BTreeMap<String, bool>,
}

impl Tablespaces {
    pub(super) async fn read(
        source: &mut Session,
        target: &mut Session,
        selection: &Selection,
    ) -> Fact<Tablespaces> {
        let used = format!(
            "SELECT coalesce(json_agg(DISTINCT t.spcname), '[]')::text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
             LEFT JOIN pg_catalog.pg_class o ON o.oid = i.indrelid \
             WHERE c.oid >= 16384 AND c.relkind IN ('r','p','m','i','I') AND {}",
            selection.condition("n.nspname::text", "coalesce(o.relname, c.relname)::text")
        );
        let there = "SELECT json_object_agg(spcname, \
             pg_catalog.has_tablespace_privilege(oid, 'CREATE'))::text FROM pg_catalog.pg_tablespace";
        Ok(Tablespaces {
            used: json(source, &used).await.map_err(|e| e.to_string())?,
            there: json(target, there).await.map_err(|e| e.to_string())?,
        })
    }
}

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    if !evidence.options.keep_tablespaces {
        return;
    }
    let topic = "which tablespaces are used";
    let known = findings.known(Blocker, "tablespaces", Side::Target, topic, &evidence.tablespaces);
    let Some(Tablespaces { used, there }) = known else { return };
    let missing = used.iter().filter(|name| !there.contains_key(*name));
    findings.many(
        Blocker,
        "tablespaces",
        Side::Target,
        ["tablespace is not there", "tablespaces are not there"],
        missing.map(|name| {
            Thing::mended_by(name, format!("CREATE TABLESPACE {} LOCATION '…';", quote_ident(name)))
        }),
        [
            "tables or indexes of the source are in them",
            "CREATE TABLESPACE each of them, or put everything into the database's own: \
             `data: {tablespaces: default}` in the plan",
        ],
    );
    let Ok(role) = &evidence.target.role else { return };
    let shut = used.iter().filter(|name| there.get(*name) == Some(&false));
    findings.many(
        Blocker,
        "tablespace_right",
        Side::Target,
        ["tablespace is shut for our role", "tablespaces are shut for our role"],
        shut.map(|name| {
            let (on, to) = (quote_ident(name), quote_ident(&role.name));
            Thing::mended_by(name, format!("GRANT CREATE ON TABLESPACE {on} TO {to};"))
        }),
        [
            "tables or indexes of the source are in them",
            "GRANT CREATE ON TABLESPACE … TO our role, or `data: {tablespaces: default}` in the plan",
        ],
    );
}
