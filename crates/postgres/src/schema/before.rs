//! What a restore changes without having made it: grants on what was there, default privileges,
//! comments on schemas. Written down before the restore begins, so that an abort can take it back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use changeover_types::{Side, quote_ident, quote_literal};
use serde::{Deserialize, Serialize};

use crate::catalog::json;
use crate::error::{Error, Result};
use crate::session::Session;

/// A database before a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// Its schemas with their comments.
    pub(super) schemas: BTreeMap<String, Option<String>>,
    /// Its extensions.
    pub(super) extensions: BTreeSet<String>,
    /// Grants, by what they are on.
    grants: BTreeMap<String, Granted>,
}

/// Who may do what with something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Granted {
    /// What leads a GRANT or REVOKE: of default privileges, whose.
    lead: String,
    /// What follows its ON.
    on: String,
    /// Whether it has always been there.
    system: bool,
    /// Who may do what now.
    now: BTreeSet<Grant>,
    /// The same as long as nobody grants or revokes.
    default: BTreeSet<Grant>,
}

/// One privilege.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Grant {
    to: String,
    privilege: String,
    grantable: bool,
}

impl Before {
    /// Reads it.
    pub(super) async fn read(session: &mut Session) -> Result<Before> {
        json(session, BEFORE).await.map_err(|e| e.with_context("reading what is there already"))
    }

    /// What was written down, if anything was.
    pub(super) fn recall(path: &Path) -> Result<Option<Before>> {
        let fault =
            |what: String| Error::local(Side::Target, format!("{}: {what}", path.display()));
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| fault(e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(fault(e.to_string())),
        }
    }

    /// Statements that make what is there `now`, without what the restore made, as it was before.
    pub(super) fn undo(&self, now: &Before) -> Vec<String> {
        let mut statements = Vec::new();
        for (name, comment) in &now.schemas {
            let Some(before) = self.schemas.get(name) else { continue };
            if before != comment {
                let text = before.as_deref().map_or("NULL".to_owned(), quote_literal);
                statements.push(format!("COMMENT ON SCHEMA {} IS {text}", quote_ident(name)));
            }
        }
        // Default privileges that are as if never touched have no row.
        let gone = self
            .grants
            .iter()
            .filter(|(on, granted)| !granted.lead.is_empty() && !now.grants.contains_key(*on));
        let gone = gone.map(|(_, before)| (before, &before.default, &before.now));
        let there = now.grants.iter().filter_map(|(on, granted)| {
            let before = self.grants.get(on).map(|before| &before.now);
            let before = before.or_else(|| granted.system.then_some(&granted.default))?;
            Some((granted, &granted.now, before))
        });
        for (granted, now, before) in there.chain(gone) {
            let Granted { lead, on, .. } = granted;
            for Grant { to, privilege, .. } in now.difference(before) {
                statements.push(format!("{lead}REVOKE {privilege} ON {on} FROM {to}"));
            }
            for Grant { to, privilege, grantable } in before.difference(now) {
                let option = if *grantable { " WITH GRANT OPTION" } else { "" };
                statements.push(format!("{lead}GRANT {privilege} ON {on} TO {to}{option}"));
            }
        }
        statements
    }
}

/// Writes a value down for good, before what it is about changes.
pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let part = path.with_extension("part");
        let mut file = std::fs::File::create(&part)?;
        serde_json::to_writer(&mut file, value)?;
        file.sync_all()?;
        std::fs::rename(part, path)
    };
    write().map_err(|e| {
        Error::local(Side::Target, format!("writing {}", path.display())).with_source(e)
    })
}

/// One JSON object. Of what comes with the server only what somebody granted is read.
const BEFORE: &str = "WITH held(lead, kind, name, col, system, acl, dflt) AS (\
    SELECT '', 'SCHEMA', quote_ident(n.nspname), NULL::text, n.oid < 16384, n.nspacl, \
        pg_catalog.acldefault('n', n.nspowner) \
      FROM pg_catalog.pg_namespace n WHERE n.nspname NOT LIKE 'pg\\_t%' \
    UNION ALL SELECT '', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, \
        format('%I.%I', n.nspname, c.relname), NULL, c.oid < 16384, c.relacl, \
        pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner) \
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      WHERE c.relkind IN ('r','p','v','m','f','S') AND (c.relacl IS NOT NULL OR c.oid >= 16384) \
        AND n.nspname NOT LIKE 'pg\\_t%' AND n.nspname <> 'changeover' \
    UNION ALL SELECT '', 'TABLE', format('%I.%I', n.nspname, c.relname), quote_ident(a.attname), \
        c.oid < 16384, a.attacl, NULL \
      FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE a.attacl IS NOT NULL \
    UNION ALL SELECT '', 'ROUTINE', p.oid::pg_catalog.regprocedure::text, NULL, p.oid < 16384, \
        p.proacl, pg_catalog.acldefault('f', p.proowner) FROM pg_catalog.pg_proc p \
      WHERE p.proacl IS NOT NULL OR p.oid >= 16384 \
    UNION ALL SELECT '', 'TYPE', pg_catalog.format_type(t.oid, NULL), NULL, t.oid < 16384, \
        t.typacl, pg_catalog.acldefault('T', t.typowner) FROM pg_catalog.pg_type t \
      WHERE t.typacl IS NOT NULL \
    UNION ALL SELECT '', 'LANGUAGE', quote_ident(l.lanname), NULL, l.oid < 16384, l.lanacl, \
        pg_catalog.acldefault('l', l.lanowner) FROM pg_catalog.pg_language l \
    UNION ALL SELECT '', 'FOREIGN DATA WRAPPER', quote_ident(w.fdwname), NULL, false, w.fdwacl, \
        pg_catalog.acldefault('F', w.fdwowner) FROM pg_catalog.pg_foreign_data_wrapper w \
    UNION ALL SELECT '', 'FOREIGN SERVER', quote_ident(s.srvname), NULL, false, s.srvacl, \
        pg_catalog.acldefault('S', s.srvowner) FROM pg_catalog.pg_foreign_server s \
    UNION ALL SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s', r.rolname, \
          CASE WHEN n.oid IS NULL THEN '' ELSE format('IN SCHEMA %I ', n.nspname) END), \
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' \
          WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END, '', NULL, true, \
        d.defaclacl, CASE WHEN n.oid IS NULL THEN pg_catalog.acldefault(\
          CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole) END \
      FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole \
      LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace \
      WHERE d.defaclobjtype IN ('r','S','f','T','n')) \
  SELECT json_build_object(\
    'schemas', (SELECT json_object_agg(nspname, pg_catalog.obj_description(oid, 'pg_namespace')) \
      FROM pg_catalog.pg_namespace), \
    'extensions', (SELECT coalesce(json_agg(extname), '[]') FROM pg_catalog.pg_extension), \
    'grants', (SELECT coalesce(json_object_agg(concat_ws(' ', h.lead || h.kind, h.name, h.col), \
        json_build_object('lead', h.lead, 'on', pg_catalog.rtrim(h.kind || ' ' || h.name), \
          'system', h.system, 'now', a.now, 'default', b.now)), '{}') FROM held h \
      CROSS JOIN LATERAL (SELECT coalesce(json_agg(json_build_object(\
          'to', CASE WHEN x.grantee = 0 THEN 'PUBLIC' \
            ELSE quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END, \
          'privilege', x.privilege_type || coalesce(' (' || h.col || ')', ''), \
          'grantable', x.is_grantable)), '[]') AS now \
        FROM pg_catalog.aclexplode(coalesce(h.acl, h.dflt)) x) a \
      CROSS JOIN LATERAL (SELECT coalesce(json_agg(json_build_object(\
          'to', CASE WHEN x.grantee = 0 THEN 'PUBLIC' \
            ELSE quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END, \
          'privilege', x.privilege_type, 'grantable', x.is_grantable)), '[]') AS now \
        FROM pg_catalog.aclexplode(h.dflt) x) b))::text";

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(lead: &str, on: &str, system: bool, now: &[(&str, &str)]) -> (String, Granted) {
        let grants = |list: &[(&str, &str)]| {
            let grant = |(to, privilege): &(&str, &str)| Grant {
                to: (*to).to_owned(),
                privilege: (*privilege).to_owned(),
                grantable: false,
            };
            list.iter().map(grant).collect()
        };
        let default = grants(&[("o", "ALL")]);
        let granted =
            Granted { lead: lead.to_owned(), on: on.to_owned(), system, now: grants(now), default };
        (format!("{lead}{on}"), granted)
    }

    #[test]
    fn what_was_there_gets_its_grants_back_and_what_is_new_is_not_ours() {
        let before = Before {
            schemas: [("public".to_owned(), Some("it's".to_owned()))].into(),
            grants: BTreeMap::from([
                granted("", "SCHEMA public", true, &[("o", "ALL"), ("PUBLIC", "USAGE")]),
                granted("ALTER … ", "TABLES", true, &[("o", "ALL"), ("x", "SELECT")]),
            ]),
            ..Before::default()
        };
        let now = Before {
            schemas: [("public".to_owned(), None), ("theirs".to_owned(), None)].into(),
            grants: BTreeMap::from([
                granted("", "SCHEMA public", true, &[("o", "ALL"), ("app", "CREATE")]),
                granted("", "SCHEMA theirs", false, &[("app", "CREATE")]),
                granted("", "ROUTINE f()", true, &[("o", "ALL"), ("app", "EXECUTE")]),
            ]),
            ..Before::default()
        };
        assert_eq!(
            before.undo(&now),
            [
                "COMMENT ON SCHEMA \"public\" IS 'it''s'",
                "REVOKE EXECUTE ON ROUTINE f() FROM app",
                "REVOKE CREATE ON SCHEMA public FROM app",
                "GRANT USAGE ON SCHEMA public TO PUBLIC",
                "ALTER … GRANT SELECT ON TABLES TO x",
            ]
        );
        assert_eq!(before.undo(&before), Vec::<String>::new());
    }
}
