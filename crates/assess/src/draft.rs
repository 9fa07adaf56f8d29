//! A plan file drafted from what was found: every guess is named with its evidence.

use std::net::SocketAddr;

use changeover_types::{MigrationName, Side};

use crate::inventory::{Client, Inventory, RelationKind};
use crate::words::bytes;

/// Where a database's URL is, as the plan should say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlPlace {
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(String),
    /// In the plan, without a password.
    Inline(String),
}

/// What a draft is made of besides the inventory.
#[derive(Clone, Debug)]
pub struct DraftInput {
    /// The migration's name.
    pub name: MigrationName,
    /// The source's database.
    pub source: Option<UrlPlace>,
    /// The target's database.
    pub target: Option<UrlPlace>,
    /// What was asked to move; everything if empty.
    pub include: Vec<String>,
    /// What was asked to stay.
    pub exclude: Vec<String>,
    /// An address that was free for the HTTP gate.
    pub http_gate: Option<SocketAddr>,
    /// An address that was free for the PostgreSQL gate.
    pub postgres_gate: Option<SocketAddr>,
}

/// A plan file. It is meant to be read and corrected, and is sound as it stands.
#[must_use]
pub fn draft(inventory: &Inventory, input: &DraftInput) -> String {
    let mut text = format!(
        "# Drafted by `changeover assess`. Each guess is marked; correct it, then check the plan \
         with\n# `changeover plan FILE`.\napiVersion: changeover/v1\nkind: Migration\n\
         metadata:\n  name: {}\n\n",
        input.name
    );
    if data(input) {
        text.push_str("objectives:\n  write_pause: 500ms  # guess: longer is called off\n\n");
    }
    environment(inventory, input, Side::Source, &mut text);
    environment(inventory, input, Side::Target, &mut text);
    gates(inventory, input, &mut text);
    if data(input) {
        selection(inventory, input, &mut text);
    }
    text.push_str("\n# The usual phases; name your own with `phases:`.\n");
    text
}

fn data(input: &DraftInput) -> bool {
    input.source.is_some() && input.target.is_some()
}

/// Upstreams that a plan can name: on both sides, and without TLS.
fn http(inventory: &Inventory) -> bool {
    let plain = |side| {
        let upstreams = &inventory.side(side).upstreams;
        !upstreams.is_empty() && upstreams.iter().all(|it| it.url.starts_with("http://"))
    };
    plain(Side::Source) && plain(Side::Target)
}

fn environment(inventory: &Inventory, input: &DraftInput, side: Side, text: &mut String) {
    let environment = inventory.side(side);
    text.push_str(&format!("{side}:\n"));
    if http(inventory) {
        let upstreams: Vec<String> =
            environment.upstreams.iter().map(|it| quoted(&it.url)).collect();
        text.push_str(&format!("  http: {{upstreams: [{}]}}\n", upstreams.join(", ")));
        for upstream in &environment.upstreams {
            if let Ok(health) = upstream.health.get() {
                text.push_str(&comment(&format!(
                    "  # {}{} answered {}",
                    upstream.url, health.path, health.status
                )));
            }
        }
    } else if !environment.upstreams.is_empty() {
        text.push_str(
            "  # http: left out, for gates speak to upstreams of both sides, without TLS\n",
        );
    }
    let place = match side {
        Side::Source => &input.source,
        Side::Target => &input.target,
    };
    let Some(place) = place.as_ref().filter(|_| data(input)) else { return };
    let url = match place {
        UrlPlace::Env(name) => format!("{{env: {}}}", quoted(name)),
        UrlPlace::File(path) => format!("{{file: {}}}", quoted(path)),
        UrlPlace::Inline(url) => quoted(url),
    };
    text.push_str(&format!("  postgres:\n    url: {url}\n"));
    if let Some(database) = environment.database.as_deref() {
        if let (Ok(server), Ok(disk)) = (database.server.get(), database.disk.get()) {
            let size = bytes(disk.database_bytes);
            let (major, name) = (server.major, &server.database);
            text.push_str(&comment(&format!("    # PostgreSQL {major}, {name}, {size}")));
        }
        if let Ok(replication) = database.replication.get()
            && !replication.replicas.is_empty()
        {
            text.push_str(
                "    # standbys: not-promotable  # it has standbys; say so if none will be promoted\n",
            );
        }
    }
}

fn gates(inventory: &Inventory, input: &DraftInput, text: &mut String) {
    let http = input.http_gate.filter(|_| http(inventory));
    let postgres = input.postgres_gate.filter(|_| data(input));
    if http.is_none() && postgres.is_none() {
        return;
    }
    text.push_str("\ngates:  # guess: these ports were free here; clients must be led to them\n");
    if let Some(listen) = http {
        text.push_str(&format!("  http:\n    listen: {}\n", quoted(&listen.to_string())));
        let cookie = input.name.as_str().replace('-', "_");
        text.push_str(&format!("    sticky: {{cookie: {cookie}_side}}\n"));
    }
    if let Some(listen) = postgres {
        text.push_str(&format!("  postgres:\n    listen: {}\n", quoted(&listen.to_string())));
        users(inventory, text);
    }
}

/// Users that were connected come in by password; where none was seen the gate is left open to
/// this machine, which a plan allows on a loopback address only.
fn users(inventory: &Inventory, text: &mut String) {
    let clients: &[Client] = inventory
        .source
        .database
        .as_deref()
        .and_then(|database| database.activity.get().ok())
        .map_or(&[], |activity| &activity.clients);
    let mut names: Vec<&String> =
        clients.iter().filter(|client| !client.superuser).map(|client| &client.user).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        text.push_str("    auth: trust  # guess: no client was seen, so no user can be named\n");
        return;
    }
    text.push_str("    auth: scram\n    users:  # guess: who was connected to the source\n");
    for (number, name) in (1..).zip(names) {
        let variable = variable(name, number);
        let name = quoted(name);
        text.push_str(&format!("      - {{name: {name}, password: {{env: {variable}}}}}\n"));
    }
}

/// A variable's name for a user's password.
fn variable(user: &str, number: usize) -> String {
    let plain = user.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let first = user.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if plain && first && user.len() <= 60 {
        format!("{}_DATABASE_PASSWORD", user.to_ascii_uppercase())
    } else {
        format!("USER_{number}_DATABASE_PASSWORD")
    }
}

fn selection(inventory: &Inventory, input: &DraftInput, text: &mut String) {
    text.push_str("\ndata:\n");
    if !input.include.is_empty() {
        text.push_str(&format!("  include: [{}]\n", list(&input.include)));
    }
    let tables = inventory.source.database.as_deref().and_then(|it| it.relations.get().ok());
    let tables = tables.map(Vec::as_slice).unwrap_or_default();
    let unlogged = tables.iter().filter(|it| it.unlogged && it.kind == RelationKind::Plain);
    let unlogged: Vec<String> =
        unlogged.map(|it| selector(&it.name.schema, &it.name.name)).collect();
    let mut exclude = input.exclude.clone();
    exclude.extend(unlogged.iter().filter(|name| !input.exclude.contains(name)).cloned());
    if !exclude.is_empty() {
        if !unlogged.is_empty() {
            text.push_str(&comment(&format!(
                "  # guess: unlogged, so no change stream carries them: {}",
                unlogged.join(", ")
            )));
        }
        text.push_str(&format!("  exclude: [{}]\n", list(&exclude)));
    }
    let jobs = tables.iter().filter(|it| it.kind != RelationKind::Partitioned).count().clamp(1, 4);
    text.push_str(&format!("  copy_jobs: {jobs}\n"));
    text.push_str("  reverse: {keep: 72h}  # guess: after this the run asks for `finish`\n");
}

/// As an include or exclude list names a table.
fn selector(schema: &str, name: &str) -> String {
    let part = |text: &str| {
        if text.contains(['.', '"']) {
            changeover_types::quote_ident(text)
        } else {
            text.to_owned()
        }
    };
    format!("{}.{}", part(schema), part(name))
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// A double-quoted YAML text: names come from databases.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A line that stays a comment, whatever is in it.
fn comment(line: &str) -> String {
    let safe = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}');
    let line: String = line.chars().map(|c| if safe(c) { c } else { ' ' }).collect();
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_texts() {
        let name = "a\"b\\c\n- d: #\u{85}\u{2028}";
        assert_eq!(quoted(name), "\"a\\\"b\\\\c\\u000a- d: #\\u0085\\u2028\"");
        assert_eq!(comment("  # a\nphases: []\u{2028}b"), "  # a phases: [] b\n");
        assert_eq!(variable("app", 1), "APP_DATABASE_PASSWORD");
        assert_eq!(variable("a b}", 2), "USER_2_DATABASE_PASSWORD");
        assert_eq!(selector("public", "my.table"), "public.\"my.table\"");
    }
}
