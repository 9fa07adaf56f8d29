//! Whether the tablespaces that the source's objects are in are on the target, and open to us.

use std::collections::{BTreeMap, BTreeSet};

use changeover_types::{Side, quote_ident};

use super::Severity::Blocker;
use super::{Evidence, Fact, Findings, list};
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
    let known =
        findings.known(Blocker, "tablespaces", Side::Target, topic, &evidence.tablespaces);
    let Some(Tablespaces { used, there }) = known else { return };
    let missing: Vec<&String> = used.iter().filter(|name| !there.contains_key(*name)).collect();
    if !missing.is_empty() {
        let create: Vec<String> = missing
            .iter()
            .map(|name| format!("CREATE TABLESPACE {} LOCATION '…';", quote_ident(name)))
            .collect();
        findings.add(
            Blocker,
            "tablespaces",
            Side::Target,
            [
                format!("tablespaces that are not there: {}", list(missing)),
                "tables or indexes of the source are in them".into(),
                format!(
                    "{} Or put all into the database's own: `data: {{tablespaces: default}}` in the \
                     plan",
                    create.join(" ")
                ),
            ],
        );
    }
    let shut: Vec<&String> = used.iter().filter(|name| there.get(*name) == Some(&false)).collect();
    if let (false, Ok(role)) = (shut.is_empty(), &evidence.target.role) {
        let grants: Vec<String> = shut
            .iter()
            .map(|name| {
                let (name, role) = (quote_ident(name), quote_ident(&role.name));
                format!("GRANT CREATE ON TABLESPACE {name} TO {role};")
            })
            .collect();
        findings.add(
            Blocker,
            "tablespace_right",
            Side::Target,
            [
                format!("role {} may not create in the tablespaces {}", role.name, list(shut)),
                "tables or indexes of the source are in them".into(),
                grants.join(" "),
            ],
        );
    }
}
