//! Whether what is restored can belong to whom it belongs on the source, and be created where it is
//! to stand. No superuser is needed for that: a role that is a member of the owner may give an
//! object to it, if the owner may create in the object's schema.

use std::collections::BTreeSet;

use changeover_types::{Side, quote_ident, quote_literal};
use serde::Deserialize;

use super::Severity::{Blocker, High};
use super::{Evidence, Fact, Findings, Thing};
use crate::catalog::{Selection, Selector, json};
use crate::session::Session;

/// A role that owns something that moves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Whether a program may log in as this role, on the source.
    pub login: bool,
    /// Whether it is a superuser on the source.
    pub superuser: bool,
    /// The schemas it owns something in.
    pub schemas: BTreeSet<String>,
}

/// What the target says of our role and of those owners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Standing {
    /// Our role.
    pub role: String,
    /// Everything is allowed.
    pub superuser: bool,
    /// Owners that exist.
    pub exist: BTreeSet<String>,
    /// Owners that our role can become.
    pub become_: BTreeSet<String>,
    /// `(role, schema)` for what may not create in a schema that exists.
    pub shut: BTreeSet<(String, String)>,
}

/// Owners and what may become of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Who owns what moves.
    pub owners: Vec<Owner>,
    /// What the target says.
    pub target: Standing,
}

impl Ownership {
    pub(super) async fn read(
        source: &mut Session,
        target: &mut Session,
        selection: &Selection,
    ) -> Fact<Ownership> {
        let owners: Vec<Owner> =
            json(source, &owners(selection)).await.map_err(|e| e.to_string())?;
        let sql = standing(&owners, target.server_version() >= 160_000);
        let target = json(target, &sql).await.map_err(|e| e.to_string())?;
        Ok(Ownership { owners, target })
    }

    /// Owners that exist and that our role cannot become.
    fn lost(&self) -> impl Iterator<Item = &Owner> {
        let Standing { exist, become_, .. } = &self.target;
        self.owners.iter().filter(|o| exist.contains(&o.name) && !become_.contains(&o.name))
    }

    /// Whether everything can belong to whom it belongs on the source.
    pub(super) fn can_be_kept(&self) -> bool {
        self.owners.iter().all(|owner| self.target.become_.contains(&owner.name))
    }
}

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    let topic = "who owns what moves";
    let known = findings.known(Blocker, "owners", Side::Target, topic, &evidence.ownership);
    let Some(ownership) = known else { return };
    let Standing { role, superuser, .. } = &ownership.target;
    let ours = quote_ident(role);
    let lost = |used: bool| {
        let lost = ownership.lost().filter(move |owner| (owner.login && !owner.superuser) == used);
        lost.map(|owner| match owner.superuser {
            // Whoever is a member of a superuser is one as well.
            true => Thing::from(format!("{} (a superuser)", owner.name)),
            false => {
                let grant = format!("GRANT {} TO {ours};", quote_ident(&owner.name));
                Thing::mended_by(&owner.name, grant)
            }
        })
    };
    for (severity, used) in [(Blocker, true), (High, false)] {
        findings.many(
            severity,
            "ownership_kept",
            Side::Target,
            ["owner that our role is no member of", "owners that our role is no member of"],
            lost(used),
            [
                "all objects would belong to our role, and who connects as their owner would have no \
                 right to them after the cutover",
                "GRANT each of them to our role, or connect as the owner; what a superuser owns give to \
                 another role on the source first (ALTER … OWNER TO …), for a member of it may do \
                 everything",
            ],
        );
    }
    if *superuser {
        return;
    }
    let keeps = ownership.can_be_kept();
    let shut = ownership.target.shut.iter().filter(|(who, _)| who == role || keeps);
    findings.many(
        Blocker,
        "schema_right",
        Side::Target,
        [
            "role may not create in a schema that is there",
            "roles may not create in schemas that are there",
        ],
        shut.map(|(who, schema)| {
            let (to, on) = (quote_ident(who), quote_ident(schema));
            Thing::mended_by(
                format!("{who} in {schema}"),
                format!("GRANT CREATE ON SCHEMA {on} TO {to};"),
            )
        }),
        [
            "an object is made by our role and then given to its owner, and both need the right to \
             create in its schema",
            "GRANT CREATE ON SCHEMA … TO each of them, as the schema's owner",
        ],
    );
}

/// Owners of everything that a dump of the selection creates. What an extension made is its own.
fn owners(selection: &Selection) -> String {
    let made = |catalog: &str, oid: &str| {
        format!(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = \
             'pg_catalog.{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'e')"
        )
    };
    let within = |catalog: &str, prefix: &str, more: &str| {
        format!(
            "SELECT o.{prefix}owner, o.{prefix}namespace FROM pg_catalog.{catalog} o \
             WHERE o.oid >= 16384 {more} AND {}",
            made(catalog, "o.oid")
        )
    };
    let all = [
        within("pg_class", "rel", "AND o.relkind IN ('r','p','v','m','f','S')"),
        within("pg_proc", "pro", ""),
        within("pg_type", "typ", "AND o.typtype IN ('e','d','r') "),
        within("pg_operator", "opr", ""),
        within("pg_collation", "coll", ""),
        within("pg_opfamily", "opf", ""),
        within("pg_statistic_ext", "stx", ""),
        within("pg_ts_dict", "dict", ""),
        within("pg_ts_config", "cfg", ""),
    ];
    format!(
        "SELECT coalesce(json_agg(json_build_object('name', r.rolname, 'login', r.rolcanlogin, \
           'superuser', r.rolsuper, 'schemas', o.schemas)), '[]')::text FROM (\
         SELECT owner, json_agg(DISTINCT schema) AS schemas FROM (\
           SELECT x.owner, n.nspname AS schema FROM ({all}) x(owner, namespace) \
             JOIN pg_catalog.pg_namespace n ON n.oid = x.namespace \
             WHERE {moved} \
           UNION ALL SELECT n.nspowner, n.nspname FROM pg_catalog.pg_namespace n \
             WHERE n.oid >= 16384 AND {moved} AND {schema}) y GROUP BY 1) o \
         JOIN pg_catalog.pg_roles r ON r.oid = o.owner",
        all = all.join(" UNION ALL "),
        moved = schemas(selection),
        schema = made("pg_namespace", "n.oid"),
    )
}

/// Whether a schema, or some of what is in it, is restored.
fn schemas(selection: &Selection) -> String {
    let one_of = |names: Vec<&String>| {
        let names: Vec<String> = names.into_iter().map(|name| quote_literal(name)).collect();
        format!("n.nspname IN ({})", names.join(","))
    };
    let mut sql = "n.nspname NOT IN ('information_schema','changeover') \
                   AND left(n.nspname::text,3)<>'pg_'"
        .to_owned();
    if !selection.include.is_empty() {
        fn of(selector: &Selector) -> &String {
            match selector {
                Selector::Schema(schema) => schema,
                Selector::Table(table) => &table.schema,
            }
        }
        sql.push_str(&format!(" AND {}", one_of(selection.include.iter().map(of).collect())));
    }
    let out = selection.exclude.iter().filter_map(|selector| match selector {
        Selector::Schema(schema) => Some(schema),
        Selector::Table(_) => None,
    });
    let out: Vec<&String> = out.collect();
    if !out.is_empty() {
        sql.push_str(&format!(" AND NOT {}", one_of(out)));
    }
    sql
}

fn standing(owners: &[Owner], newer: bool) -> String {
    let set = if newer { "'SET'" } else { "'MEMBER'" };
    let pairs: Vec<String> = owners
        .iter()
        .flat_map(|owner| owner.schemas.iter().map(|schema| (owner.name.as_str(), schema)))
        .map(|(owner, schema)| format!("({},{})", quote_literal(owner), quote_literal(schema)))
        .chain(["(NULL::text,NULL::text)".to_owned()])
        .collect();
    format!(
        "WITH owned(owner, schema) AS (VALUES {}), \
         them AS (SELECT DISTINCT r.oid, r.rolname FROM owned o \
           JOIN pg_catalog.pg_roles r ON r.rolname = o.owner), \
         me AS (SELECT r.oid, r.rolname, r.rolsuper FROM pg_catalog.pg_roles r \
           WHERE r.rolname = current_user) \
         SELECT json_build_object('role', (SELECT rolname FROM me), \
           'superuser', (SELECT rolsuper FROM me), \
           'exist', (SELECT coalesce(json_agg(rolname), '[]') FROM them), \
           'become_', (SELECT coalesce(json_agg(t.rolname), '[]') FROM them t \
             WHERE pg_catalog.pg_has_role(t.oid, {set}) AND pg_catalog.pg_has_role(t.oid, 'USAGE')), \
           'shut', (SELECT coalesce(json_agg(DISTINCT jsonb_build_array(r.rolname, n.nspname)), '[]') \
             FROM owned o JOIN pg_catalog.pg_namespace n ON n.nspname = o.schema \
             CROSS JOIN LATERAL (SELECT oid, rolname FROM me \
               UNION SELECT oid, rolname FROM them t WHERE t.rolname = o.owner) r \
             WHERE NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')))::text",
        pairs.join(",")
    )
}
