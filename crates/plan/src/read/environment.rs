//! `source` and `target`.

use std::path::PathBuf;

use changeover_types::Side;

use crate::address::{self, BadUpstream, InlineUrl};
use crate::fault::FaultKind;
use crate::model::{Environment, HttpSide, PostgresSide, SecretRef, Standbys};
use crate::node::Shape;
use crate::reader::{Field, Fields, Reader};

use super::EnvironmentDraft;

const UNBUILT: &[&str] = &["terraform", "mysql", "tcp", "kubernetes", "health"];
const UNBUILT_HTTP: &[&str] = &["zones", "health", "tls", "timeouts"];
const UNBUILT_POSTGRES: &[&str] = &["tls", "pooler", "read_replicas"];
const UPSTREAMS_MAX: usize = 64;

pub(super) fn read(
    fields: &mut Fields<'_>,
    side: Side,
    reader: &mut Reader,
) -> Option<EnvironmentDraft> {
    let expected = "an environment with `http`, `postgres` or both";
    let field = fields.need(side.as_str(), expected, reader)?;
    let place = fields.key_place(side.as_str());
    let mut fields = reader.map(&field)?;
    let http = fields.get("http");
    let postgres = fields.get("postgres");
    let draft = EnvironmentDraft {
        place,
        http: http.as_ref().map(|_| fields.key_place("http")),
        postgres: postgres.as_ref().map(|_| fields.key_place("postgres")),
        value: Environment {
            http: http.and_then(|field| self::http(&field, reader)),
            postgres: postgres.and_then(|field| self::postgres(&field, reader)),
        },
    };
    fields.done(UNBUILT, reader);
    Some(draft)
}

pub(super) fn http(field: &Field<'_>, reader: &mut Reader) -> Option<HttpSide> {
    let mut fields = reader.map(field)?;
    let expected = "`upstreams: [\"http://host:port\"]`";
    let upstreams = fields.need("upstreams", expected, reader);
    fields.done(UNBUILT_HTTP, reader);
    let upstreams = upstreams?;
    let items = reader.list(&upstreams, "upstreams like \"http://10.0.0.5:8080\"")?;
    if items.is_empty() || items.len() > UPSTREAMS_MAX {
        let expected = format!("1 to {UPSTREAMS_MAX} upstreams");
        reader.bad(FaultKind::WrongValue, &upstreams, expected);
    }
    let mut seen: Vec<String> = Vec::new();
    for item in &items {
        let Some(address) = upstream(item, reader) else { continue };
        if seen.contains(&address) {
            reader.bad(FaultKind::Contradiction, item, "each upstream once");
        }
        seen.push(address);
    }
    Some(HttpSide { upstreams: seen })
}

fn upstream(field: &Field<'_>, reader: &mut Reader) -> Option<String> {
    let expected = "an upstream like http://10.0.0.5:8080, without a path";
    let text = reader.text(field, expected)?;
    match address::upstream(text) {
        Ok(upstream) => Some(upstream),
        Err(BadUpstream::Tls) => {
            reader.bad(FaultKind::NotBuilt, field, "an upstream with http://");
            reader.hint("TLS to upstreams is not built yet");
            None
        }
        Err(BadUpstream::Credentials) => {
            reader.bad(FaultKind::InlineSecret, field, "an upstream without a user");
            None
        }
        Err(BadUpstream::Shape) => {
            reader.bad(FaultKind::WrongValue, field, expected);
            None
        }
    }
}

fn postgres(field: &Field<'_>, reader: &mut Reader) -> Option<PostgresSide> {
    let mut fields = reader.map(field)?;
    let expected = "`url: {env: NAME}` or `url: {file: PATH}`";
    let url = fields.need("url", expected, reader).and_then(|field| url(&field, reader));
    let standbys = fields.get("standbys").and_then(|field| {
        let words = [("not-promotable", Standbys::NotPromotable)];
        reader.word(&field, &words)
    });
    fields.done(UNBUILT_POSTGRES, reader);
    Some(PostgresSide { url: url?, standbys: standbys.unwrap_or(Standbys::Undeclared) })
}

pub(super) fn url(field: &Field<'_>, reader: &mut Reader) -> Option<SecretRef> {
    let Shape::Text(text) = &field.node.shape else {
        return secret(field, "a database URL", reader);
    };
    let expected = "{env: NAME}, {file: PATH}, or postgres://user@host:port/database";
    match address::database_url(text) {
        InlineUrl::Fine => Some(SecretRef::Inline(text.clone())),
        InlineUrl::Password => {
            let found = "a URL with a password (or one that may hold it), written in the plan";
            reader.fault(FaultKind::InlineSecret, field.place(), &field.path, found, expected);
            reader.hint("put the URL into an environment variable or a file and name that");
            None
        }
        InlineUrl::Shape => {
            reader.bad(FaultKind::WrongValue, field, expected);
            None
        }
    }
}

/// A reference to a secret: `{env: NAME}` or `{file: PATH}`.
pub(super) fn secret(field: &Field<'_>, what: &str, reader: &mut Reader) -> Option<SecretRef> {
    let expected = "{env: NAME} or {file: PATH}";
    if let Shape::Text(_) = &field.node.shape {
        let found = format!("{what} written in the plan");
        reader.fault(FaultKind::InlineSecret, field.place(), &field.path, found, expected);
        reader.hint("put it into an environment variable or a file and name that");
        return None;
    }
    let mut fields = reader.map(field)?;
    let env = fields.get("env");
    let file = fields.get("file");
    fields.done(&["vault", "command", "kubernetes"], reader);
    match (env, file) {
        (Some(env), None) => {
            let expected = "the name of an environment variable";
            let name = |t: &str| variable_name(t).then(|| SecretRef::Env(t.to_owned()));
            reader.parsed(&env, FaultKind::WrongValue, expected, name)
        }
        (None, Some(file)) => {
            reader.text(&file, "a path").map(|path| SecretRef::File(PathBuf::from(path)))
        }
        (Some(_), Some(_)) => {
            let found = "both `env` and `file`";
            reader.fault(FaultKind::Contradiction, field.place(), &field.path, found, "one");
            None
        }
        (None, None) => {
            reader.fault(FaultKind::Missing, field.place(), &field.path, "neither", expected);
            None
        }
    }
}

pub(super) fn variable_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
