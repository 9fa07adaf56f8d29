//! The script of `pg_restore --verbose`, cut into its entries. Pure.

use std::collections::BTreeSet;

/// What leads each entry in the output of `pg_restore --verbose`.
const LEAD: &str = "-- TOC entry ";

/// What an entry's header says of the entries that it needs.
const NEEDS: &str = "-- Dependencies: ";

/// The settings that `pg_restore` gives an entry *before* the entry's header, and only where they
/// change.
const GIVEN: [&str; 2] = ["SET default_tablespace = ", "SET default_table_access_method = "];

/// The SQL of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its number in the archive.
    pub(super) dump_id: u32,
    /// The entries that it needs, by number; they may be of another section.
    pub(super) needs: Vec<u32>,
    /// What must be set before it, whatever ran before in the same session.
    pub(super) settings: String,
    /// Its statements.
    pub(super) sql: String,
}

/// The entries of a verbose script, in its order; `None` if it is not one.
pub(super) fn cut(script: &str) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut given = [None, None];
    let mut before = String::new();
    let mut in_header = false;
    for line in script.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix(LEAD) {
            let (id, class) = rest.split_once(' ')?;
            if !class.starts_with("(class ") {
                return None;
            }
            let end = parts.last_mut().map_or(&mut before, |part| &mut part.sql);
            take_settings(end, &mut given);
            parts.push(Part {
                dump_id: id.parse().ok()?,
                needs: Vec::new(),
                settings: settings(&given),
                sql: String::new(),
            });
            in_header = true;
            continue;
        }
        let Some(part) = parts.last_mut() else {
            before.push_str(line);
            continue;
        };
        in_header &= line.starts_with("--");
        match line.strip_prefix(NEEDS).filter(|_| in_header) {
            Some(ids) => {
                part.needs = ids.split_ascii_whitespace().flat_map(str::parse).collect();
            }
            None => part.sql.push_str(line),
        }
    }
    // Newer versions guard a script for psql with a command of its own at the very end.
    if let Some(part) = parts.last_mut()
        && let Some(at) = part.sql.rfind("\n\\unrestrict ")
    {
        part.sql.truncate(at);
    }
    let ids: BTreeSet<u32> = parts.iter().map(|part| part.dump_id).collect();
    (ids.len() == parts.len()).then_some(parts)
}

/// An entry's statements without the comments around them, which hold numbers of the archive and
/// the time of day.
pub(super) fn without_comments(sql: &str) -> &str {
    let mut rest = sql.trim();
    while rest.starts_with("--") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    while let Some((before, last)) = rest.rsplit_once('\n')
        && last.starts_with("--")
        && !last.ends_with(';')
    {
        rest = before.trim_end();
    }
    rest
}

/// Takes the settings that end `text`, which belong to what follows it.
fn take_settings(text: &mut String, given: &mut [Option<String>; 2]) {
    let mut found = [None, None];
    loop {
        let kept = text.trim_end().len();
        let start = text[..kept].rfind('\n').map_or(0, |at| at + 1);
        let line = &text[start..kept];
        let setting = GIVEN.iter().position(|setting| line.starts_with(setting));
        match setting {
            // The one nearest to the entry counts.
            Some(at) => {
                found[at].get_or_insert_with(|| line.to_owned());
            }
            None if line == "--" => {}
            None => break,
        }
        text.truncate(start);
    }
    for (given, found) in given.iter_mut().zip(found) {
        if found.is_some() {
            *given = found;
        }
    }
}

/// Statements that bring about what is given, whatever was set before.
fn settings(given: &[Option<String>; 2]) -> String {
    let [tablespace, method] = given;
    let tablespace = tablespace.as_deref().unwrap_or("SET default_tablespace = '';");
    let method = method.as_deref().unwrap_or("RESET default_table_access_method;");
    format!("{tablespace} {method} ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_at_its_entries() {
        let script = "--\n-- head\n--\n\n\\restrict abc\n\nSET x = y;\n\
            --\n-- TOC entry 12 (class 1259 OID 5)\n-- Name: i; Type: INDEX\n--\n\nCREATE INDEX i;\n\n\n\
            --\n-- TOC entry 13 (class 2606 OID 6)\n-- Dependencies: 12 7\n-- Name: c\n--\n\n\
            ALTER TABLE c;\n-- Dependencies: 99\n\n\\unrestrict abc\n";
        let parts = cut(script).unwrap();
        assert_eq!(parts.len(), 2);
        assert!(parts[0].sql.contains("CREATE INDEX i;") && !parts[0].sql.contains("SET x"));
        assert!(parts[1].sql.contains("ALTER TABLE c;") && !parts[1].sql.contains('\\'));
        assert_eq!((&parts[0].needs, &parts[1].needs), (&vec![], &vec![12, 7]));
        assert_eq!(without_comments(&parts[0].sql), "CREATE INDEX i;");
        assert_eq!(without_comments(&parts[1].sql), "ALTER TABLE c;");
        assert_eq!(cut("-- TOC entry x\n"), None);
        assert_eq!(cut("-- TOC entry 1 (class 1 OID 1)\n-- TOC entry 1 (class 1 OID 1)\n"), None);
    }

    #[test]
    fn a_setting_belongs_to_what_follows_it() {
        let entry =
            |id: u32| format!("--\n-- TOC entry {id} (class 1259 OID 5)\n--\n\nCREATE {id};\n\n\n");
        let fast = "SET default_tablespace = fast;\n\n";
        let heap = "SET default_table_access_method = heap;\n\n";
        let none = "SET default_tablespace = '';\n\n";
        let script = [&entry(1), fast, heap, &entry(2), &entry(3), none, &entry(4)]
            .map(str::to_owned)
            .concat();
        let parts = cut(&script).unwrap();
        let settings: Vec<&str> = parts.iter().map(|part| part.settings.as_str()).collect();
        let fast = "SET default_tablespace = fast; SET default_table_access_method = heap; ";
        assert_eq!(
            settings,
            [
                "SET default_tablespace = ''; RESET default_table_access_method; ",
                fast,
                fast,
                "SET default_tablespace = ''; SET default_table_access_method = heap; ",
            ]
        );
        assert!(parts.iter().all(|part| !part.sql.contains("SET ")));
    }
}
