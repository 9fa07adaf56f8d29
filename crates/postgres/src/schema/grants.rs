//! Grants and default privileges: each for itself, so that one to a role that is missing takes no
//! other with it. What cannot be given is a task.

use std::collections::BTreeMap;

use changeover_types::{Task, TaskObject};

use super::views::said;
use crate::error::Result;
use crate::session::Session;

/// The grants of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grants {
    /// Whose, in the archive's words.
    pub(super) label: String,
    /// Statements.
    pub(super) sql: String,
}

/// Gives what can be given; the rest as tasks, one for each reason.
pub(super) async fn give(target: &mut Session, grants: &[Grants]) -> Result<Vec<Task>> {
    let mut refused: BTreeMap<String, (Vec<&str>, Vec<String>)> = BTreeMap::new();
    for Grants { label, sql } in grants {
        // All at once is one round trip; one by one only where something is wrong.
        match target.execute(sql).await {
            Ok(_) => continue,
            Err(_) if target.is_usable() => {}
            Err(e) => return Err(e.with_context(format!("granting {label}"))),
        }
        for statement in statements(sql) {
            match target.execute(&statement).await {
                Ok(_) => {}
                Err(e) if target.is_usable() => {
                    let (labels, left) = refused.entry(said(&e)).or_default();
                    if labels.last() != Some(&label.as_str()) {
                        labels.push(label);
                    }
                    left.push(statement);
                }
                Err(e) => return Err(e.with_context(format!("granting {label}"))),
            }
        }
    }
    let tasks = refused.into_iter().map(|(why, (labels, left))| {
        let more = match labels.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let label = format!("{}{more}", labels.first().copied().unwrap_or_default());
        let object = TaskObject::Grant { label };
        Task { object, why, statement: left.join("; "), rows: None }
    });
    Ok(tasks.collect())
}

/// Cuts statements at semicolons outside of quotes; comment lines are left out.
pub(super) fn statements(sql: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quote = None;
    for line in sql.split_inclusive('\n') {
        if quote.is_none() && line.starts_with("--") {
            continue;
        }
        for c in line.chars() {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), _) if open == c => quote = None,
                (None, ';') => {
                    found.push(String::new());
                    continue;
                }
                _ => {}
            }
            if let Some(statement) = found.last_mut() {
                statement.push(c);
            }
        }
    }
    found
        .into_iter()
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_outside_of_quotes_only() {
        let sql = "--\n-- Name: TABLE \"a;b\"\n--\n\nREVOKE ALL ON TABLE s.\"a;\n--b\" FROM x;\n\
                   GRANT SELECT ON TABLE s.\"a\"\"'b\" TO \"y;z\";\n\n";
        assert_eq!(
            statements(sql),
            [
                "REVOKE ALL ON TABLE s.\"a;\n--b\" FROM x",
                "GRANT SELECT ON TABLE s.\"a\"\"'b\" TO \"y;z\"",
            ]
        );
        assert!(statements("-- nothing\n").is_empty());
    }
}
