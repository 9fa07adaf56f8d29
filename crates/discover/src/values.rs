//! What a configuration value tells of dependencies. Here values are reduced: what leaves is the
//! key's name, host, port and database, never the value.

use std::collections::BTreeMap;

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Endpoint, Kind, Name, Relation};

use crate::notes::Notes;

/// A setting: key, value, and where it stands.
pub(crate) struct Setting<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    /// The file, if it is not the one that is being read.
    pub(crate) file: Option<&'a str>,
    pub(crate) line: usize,
}

/// Whose settings they are.
pub(crate) struct Owner<'a> {
    pub(crate) label: &'a str,
    pub(crate) name: &'a Name,
    /// Where short names in the values mean something.
    pub(crate) scope: &'a str,
}

/// Reads all settings of one component.
pub(crate) fn settings(notes: &mut Notes<'_>, owner: &Owner<'_>, all: &[Setting<'_>]) {
    let values: BTreeMap<&str, &str> = all.iter().map(|s| (s.key, s.value)).collect();
    for setting in all {
        let upper = setting.key.to_ascii_uppercase();
        let notes = &mut Notes {
            source: setting.file.unwrap_or(notes.source),
            machine: notes.machine,
            now: notes.now,
            found: notes.found,
        };
        secret(notes, owner, setting, &upper);
        for value in setting.value.split([',', ' ', ';']).filter(|v| !v.is_empty()) {
            match Endpoint::parse(value) {
                Some(endpoint) => address(notes, owner, setting, &upper, &endpoint),
                None => variable_host(notes, owner, setting, value),
            }
        }
        if let Some(endpoint) = Endpoint::parse(setting.value)
            .filter(|_| setting.value.contains(' '))
            .or_else(|| split_address(&upper, setting, &values))
        {
            address(notes, owner, setting, &upper, &endpoint);
        }
    }
}

/// A password that is written out.
fn secret(notes: &mut Notes<'_>, owner: &Owner<'_>, setting: &Setting<'_>, upper: &str) {
    const SIGNS: [&str; 7] =
        ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY"];
    let named = SIGNS.iter().any(|sign| upper.contains(sign));
    let elsewhere =
        upper.ends_with("_FILE") || upper.ends_with("_PATH") || upper.ends_with("_NAME");
    let value = setting.value.trim();
    let literal = !value.is_empty() && !value.contains("${") && !value.contains("$(");
    let in_url = Endpoint::parse(value).is_some_and(|endpoint| endpoint.has_password);
    if in_url || (named && literal && !elsewhere && Endpoint::parse(value).is_none()) {
        let says = format!("{} holds a secret in clear text", setting.key);
        let evidence = notes.declared(setting.line, says);
        let what = HintKind::PlainSecret { key: setting.key.to_owned() };
        notes.hint(owner.label, what, evidence);
    }
}

/// Where a value leads.
fn address(
    notes: &mut Notes<'_>,
    owner: &Owner<'_>,
    setting: &Setting<'_>,
    upper: &str,
    endpoint: &Endpoint,
) {
    let to = Name::address(owner.scope, &endpoint.host, endpoint.port);
    let at = match &endpoint.database {
        Some(database) => format!("{}/{database}", endpoint.address()),
        None => endpoint.address(),
    };
    let says = format!("{} leads to {at}", setting.key);
    let evidence = notes.declared(setting.line, says);
    // Names inside a cluster follow what they name.
    let inside = to.host.ends_with(".svc") || to.host.contains(".svc.");
    if to.is_ip() || (to.host.contains('.') && !inside) {
        let what =
            HintKind::HardCodedAddress { key: setting.key.to_owned(), address: endpoint.address() };
        notes.hint(owner.label, what, evidence.clone());
    }
    if matches!(endpoint.scheme.as_str(), "ws" | "wss" | "grpc") {
        let what = HintKind::LongLivedConnections {
            shows: format!("{} is {}", setting.key, endpoint.scheme),
            max_age_seconds: None,
        };
        notes.hint(owner.label, what, evidence.clone());
    }
    // What a service says of itself is no dependency.
    if is_own_address(upper) || unspecified(&endpoint.host) {
        return;
    }
    let by_port = || endpoint.port.and_then(Endpoint::usual_on);
    let assumed = endpoint.meaning().or_else(by_port);
    notes.link(owner.name, to, Relation::Uses, evidence, assumed);
    if let Some(link) = notes.found.links.last_mut() {
        link.database.clone_from(&endpoint.database);
    }
}

/// A URL whose host comes from a variable that nobody gave us.
fn variable_host(notes: &mut Notes<'_>, owner: &Owner<'_>, setting: &Setting<'_>, value: &str) {
    let Some((scheme, rest)) = value.split_once("://") else { return };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let word = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
    if word && host.starts_with('$') {
        let why =
            format!("{} of {} leads to a host that a variable fills in", setting.key, owner.label);
        notes.unread(setting.line, why, "give the file that sets the variable, such as `.env`");
    }
}

/// `DB_HOST` with `DB_PORT` and `DB_NAME`, `KAFKA_BROKERS`, `REDIS_ADDR`.
fn split_address(
    upper: &str,
    setting: &Setting<'_>,
    values: &BTreeMap<&str, &str>,
) -> Option<Endpoint> {
    const ENDS: [&str; 9] = [
        "HOSTNAME", "HOSTADDR", "HOST", "ADDRESS", "ADDR", "BROKERS", "SERVERS", "SERVER",
        "ENDPOINT",
    ];
    let end = ENDS.iter().find(|end| upper.ends_with(*end))?;
    let prefix = &upper[..upper.len() - end.len()];
    if is_own_address(upper)
        || (prefix.is_empty() && *end != "BROKERS")
        || setting.value.contains("://")
    {
        return None;
    }
    let first = setting.value.split(',').next()?.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if first.is_empty() || !first.chars().all(fine) || first.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let beside = |names: &[&str]| {
        values
            .iter()
            .find(|(key, _)| {
                key.to_ascii_uppercase()
                    .strip_prefix(prefix)
                    .is_some_and(|rest| names.contains(&rest))
            })
            .map(|(_, value)| *value)
    };
    let (scheme, kind) = engine_by_key(prefix);
    let mut endpoint = Endpoint::parse(&format!("{scheme}://{first}"))?;
    if let Some(port) = beside(&["PORT"]).and_then(|port| port.parse().ok())
        && !first.contains(':')
    {
        endpoint.port = Some(port);
    }
    if kind == Some(Kind::Database) || prefix.contains("DB_") || prefix.contains("DATABASE_") {
        endpoint.database = beside(&["NAME", "DATABASE", "DB", "DBNAME"])
            .filter(|name| !name.is_empty() && !name.contains('$'))
            .map(str::to_owned);
    }
    Some(endpoint)
}

/// The scheme that a key's words point to.
fn engine_by_key(prefix: &str) -> (&'static str, Option<Kind>) {
    const SIGNS: [(&str, &str, Kind); 12] = [
        ("PG", "postgres", Kind::Database),
        ("POSTGRES", "postgres", Kind::Database),
        ("MYSQL", "mysql", Kind::Database),
        ("MARIADB", "mysql", Kind::Database),
        ("MONGO", "mongodb", Kind::Database),
        ("REDIS", "redis", Kind::Cache),
        ("MEMCACHE", "memcached", Kind::Cache),
        ("RABBIT", "amqp", Kind::Queue),
        ("AMQP", "amqp", Kind::Queue),
        ("KAFKA", "kafka", Kind::Queue),
        ("NATS", "nats", Kind::Queue),
        ("SMTP", "smtp", Kind::Service),
    ];
    let found = SIGNS.iter().find(|(sign, ..)| prefix.contains(sign));
    found.map_or(("tcp", None), |(_, scheme, kind)| (*scheme, Some(*kind)))
}

/// The port on which a setting says that its owner listens: `PORT=8080`, `LISTEN_ADDR=:8080`.
pub(crate) fn listens_on(key: &str, value: &str) -> Option<u16> {
    let upper = key.to_ascii_uppercase().replace('-', "_");
    let upper = upper.trim_matches('_');
    let port_alone = matches!(upper, "PORT" | "SERVER_PORT" | "HTTP_PORT" | "APP_PORT");
    let address = upper.contains("LISTEN") || upper.contains("BIND");
    if port_alone {
        return value.parse().ok();
    }
    let port = value.rsplit_once(':').map_or(value, |(_, port)| port);
    if address { port.parse().ok() } else { None }
}

/// Keys by which a service says where it listens or how others reach it.
fn is_own_address(upper: &str) -> bool {
    const SIGNS: [&str; 12] = [
        "PUBLIC",
        "BASE_URL",
        "SITE_URL",
        "EXTERNAL",
        "ORIGIN",
        "ALLOWED",
        "CORS",
        "LISTEN",
        "BIND",
        "SELF",
        "ADVERTISE",
        "CALLBACK",
    ];
    let word = |sign: &&str| upper.starts_with(*sign) || upper.contains(&format!("_{sign}"));
    SIGNS.iter().any(word) || upper == "HOST" || upper == "HOSTNAME"
}

fn unspecified(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::" | "*")
}

/// Fills `${NAME}`, `$NAME`, `${NAME:-default}` and `${NAME-default}` in; what is not known stays.
pub(crate) fn interpolate(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
            continue;
        }
        let (whole, name, default) = variable(rest);
        match variables.get(name).map(String::as_str).or(default) {
            Some(value) if !name.is_empty() => out.push_str(value),
            _ => out.push_str(&rest[..whole]),
        }
        rest = &rest[whole..];
    }
    out.push_str(rest);
    out
}

/// The length of the reference at the start, its name and its default.
fn variable(text: &str) -> (usize, &str, Option<&str>) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(inner) = text.strip_prefix("${") {
        let Some(end) = inner.find('}') else { return (text.len(), "", None) };
        let inner = &inner[..end];
        let name_end = inner.find(|c| !word(c)).unwrap_or(inner.len());
        let (name, rest) = inner.split_at(name_end);
        let default = rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-'));
        return (end + 3, name, default);
    }
    let name_end = text[1..].find(|c| !word(c)).unwrap_or(text.len() - 1);
    (name_end + 1, &text[1..=name_end], None)
}

/// `KEY=value` lines of an environment file: comments, `export` and quotes are understood.
pub(crate) fn environment_file(text: &str) -> Vec<(String, String, usize)> {
    text.lines()
        .enumerate()
        .filter_map(|(line, content)| {
            let content = content.trim();
            let content = content.strip_prefix("export ").unwrap_or(content);
            if content.starts_with(['#', ';']) {
                return None;
            }
            let (key, value) = content.split_once('=')?;
            let value = value.trim();
            let quoted = |q: char| value.strip_prefix(q).and_then(|v| v.split(q).next());
            let value = quoted('"')
                .or_else(|| quoted('\''))
                .unwrap_or_else(|| value.split(" #").next().unwrap_or_default().trim_end());
            Some((key.trim().to_owned(), value.to_owned(), line + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests;
