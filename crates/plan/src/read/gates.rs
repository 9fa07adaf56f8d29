//! `gates`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::address;
use crate::defaults;
use crate::fault::{FaultKind, Place};
use crate::model::{
    ClientAuth, GateUser, Gates, HttpGate, HttpLimits, PostgresGate, PostgresLimits, Unmovable,
};
use crate::reader::{Field, Fields, Reader};

use super::{GatesDraft, duration, environment, routes};

const UNBUILT: &[&str] = &["tcp", "mysql", "hosts"];
const UNBUILT_HTTP: &[&str] = &["tls", "http2", "streams"];
const UNBUILT_POSTGRES: &[&str] = &["tls", "pool"];
const USERS_MAX: usize = 256;
const CONNECTIONS_MAX: u64 = 1_000_000;

pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> GatesDraft {
    let place = fields.key_place("gates");
    let none = Gates { http: None, postgres: None };
    let mut draft = GatesDraft { place, http: None, postgres: None, value: none };
    let Some(field) = fields.get("gates") else { return draft };
    let Some(mut fields) = reader.map(&field) else { return draft };
    if let Some(field) = fields.get("http") {
        draft.http = Some(fields.key_place("http"));
        draft.value.http = http(&field, reader);
    }
    if let Some(field) = fields.get("postgres") {
        draft.postgres = Some(fields.key_place("postgres"));
        draft.value.postgres = postgres(&field, reader);
    }
    fields.done(UNBUILT, reader);
    draft
}

fn listen(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<SocketAddr> {
    let expected = "a numeric address and port, like 127.0.0.1:8080 or 0.0.0.0:8080";
    let field = fields.need("listen", expected, reader)?;
    reader.parsed(&field, FaultKind::WrongValue, expected, address::listen)
}

fn http(field: &Field<'_>, reader: &mut Reader) -> Option<HttpGate> {
    let mut fields = reader.map(field)?;
    let listen = listen(&mut fields, reader);
    let sticky_cookie = fields.get("sticky").and_then(|field| sticky(&field, reader));
    let mut decide_after = defaults::DECIDE_AFTER;
    let limits = (Duration::from_millis(50), Duration::from_secs(60));
    if let Some(read) = fields.get("decide_after").and_then(|f| duration(&f, limits, reader)) {
        decide_after = read;
    }
    let routes_field = fields.get("routes");
    let routes = routes_field.map(|field| routes::read(&field, decide_after, reader));
    let limits = fields.get("limits").and_then(|field| http_limits(&field, reader));
    fields.done(UNBUILT_HTTP, reader);
    let (routes, limits) = (routes.unwrap_or_default(), limits.unwrap_or_default());
    Some(HttpGate { listen: listen?, sticky_cookie, decide_after, routes, limits })
}

fn http_limits(field: &Field<'_>, reader: &mut Reader) -> Option<HttpLimits> {
    let mut fields = reader.map(field)?;
    let mut limits = HttpLimits::default();
    let counts = [
        ("connections", &mut limits.connections),
        ("upstream_connections", &mut limits.upstream_connections),
    ];
    let times = [
        ("head_timeout", &mut limits.head_timeout),
        ("idle_timeout", &mut limits.idle_timeout),
        ("body_timeout", &mut limits.body_timeout),
        ("answer_timeout", &mut limits.answer_timeout),
        ("queue_timeout", &mut limits.queue_timeout),
    ];
    counts_and_times(counts, times, &mut fields, reader);
    fields.done(&[], reader);
    Some(limits)
}

fn postgres_limits(field: &Field<'_>, reader: &mut Reader) -> Option<PostgresLimits> {
    let mut fields = reader.map(field)?;
    let mut limits = PostgresLimits::default();
    let counts = [("clients", &mut limits.clients)];
    let times = [("login_timeout", &mut limits.login_timeout)];
    counts_and_times(counts, times, &mut fields, reader);
    fields.done(&[], reader);
    Some(limits)
}

fn counts_and_times<const C: usize, const T: usize>(
    counts: [(&'static str, &mut u32); C],
    times: [(&'static str, &mut Duration); T],
    fields: &mut Fields<'_>,
    reader: &mut Reader,
) {
    for (key, count) in counts {
        let read = fields.get(key).and_then(|field| reader.number(&field, 1, CONNECTIONS_MAX));
        if let Some(read) = read.and_then(|read| u32::try_from(read).ok()) {
            *count = read;
        }
    }
    let range = (Duration::from_millis(100), Duration::from_secs(24 * 3600));
    for (key, time) in times {
        if let Some(read) = fields.get(key).and_then(|field| duration(&field, range, reader)) {
            *time = read;
        }
    }
}

fn sticky(field: &Field<'_>, reader: &mut Reader) -> Option<String> {
    let mut fields = reader.map(field)?;
    let expected = "a cookie's name of letters, digits, _ and -";
    let cookie = fields.need("cookie", expected, reader).and_then(|field| {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let name = |t: &str| (t.len() <= 64 && t.bytes().all(word)).then(|| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, expected, name)
    });
    fields.done(&["header", "source_address", "ttl"], reader);
    cookie
}

fn postgres(field: &Field<'_>, reader: &mut Reader) -> Option<PostgresGate> {
    let mut fields = reader.map(field)?;
    let listen = listen(&mut fields, reader);
    let auth_words = [
        ("scram", ClientAuth::Scram),
        ("password", ClientAuth::Password),
        ("trust", ClientAuth::Trust),
    ];
    let auth_field = fields.get("auth");
    let auth = match &auth_field {
        Some(field) => reader.word(field, &auth_words),
        None => Some(ClientAuth::Scram),
    };
    let users_field = fields.get("users");
    let users = users_field.as_ref().map(|field| users(field, reader)).unwrap_or_default();
    let unmovable = fields.get("unmovable").and_then(|field| {
        reader.word(&field, &[("wait", Unmovable::Wait), ("terminate", Unmovable::Terminate)])
    });
    let settings = fields.get("settings").map(|field| settings(&field, reader)).unwrap_or_default();
    let limits = fields.get("limits").and_then(|field| postgres_limits(&field, reader));
    fields.done(UNBUILT_POSTGRES, reader);
    let auth = auth?;
    if users_field.is_none() && auth != ClientAuth::Trust {
        let expected = "`users: [{name: …, password: {env: …}}]`: who may come in";
        let path = format!("{}.users", field.path);
        reader.fault(FaultKind::Missing, field.place(), &path, "no `users`", expected);
    }
    if let (ClientAuth::Trust, Some(address)) = (auth, listen) {
        let place = auth_field.as_ref().map_or(field.place(), Field::place);
        open_door(address, place, field, reader);
    }
    let unmovable = unmovable.unwrap_or(Unmovable::Wait);
    let limits = limits.unwrap_or_default();
    Some(PostgresGate { listen: listen?, auth, users, unmovable, settings, limits })
}

fn settings(field: &Field<'_>, reader: &mut Reader) -> Vec<String> {
    let expected = "a custom setting's name, like app.tenant";
    let word = |part: &str| {
        part.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let name = |text: &str| {
        let custom = text.len() <= 127 && text.contains('.') && text.split('.').all(word);
        custom.then(|| text.to_ascii_lowercase())
    };
    let items = reader.list(field, "names of custom settings").unwrap_or_default();
    let parsed = |item| reader.parsed(item, FaultKind::WrongValue, expected, name);
    items.iter().filter_map(parsed).collect()
}

fn open_door(listen: SocketAddr, place: Place, field: &Field<'_>, reader: &mut Reader) {
    if !listen.ip().is_loopback() {
        let path = format!("{}.auth", field.path);
        let found = format!("`trust` on {listen}, which lets in whoever reaches that address");
        let expected = "`scram` or `password`, or a loopback address";
        reader.fault(FaultKind::Contradiction, place, &path, found, expected);
    }
}

fn users(field: &Field<'_>, reader: &mut Reader) -> Vec<GateUser> {
    let of = "users like {name: app, password: {env: APP_PASSWORD}}";
    let Some(items) = reader.list(field, of) else { return Vec::new() };
    if items.is_empty() || items.len() > USERS_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {USERS_MAX} users"));
    }
    let mut users: Vec<GateUser> = Vec::new();
    for item in &items {
        let Some(user) = user(item, reader) else { continue };
        if users.iter().any(|known| known.name == user.name) {
            let found = format!("the user `{}` a second time", user.name);
            reader.fault(FaultKind::Contradiction, item.place(), &item.path, found, "each once");
        }
        users.push(user);
    }
    users
}

fn user(field: &Field<'_>, reader: &mut Reader) -> Option<GateUser> {
    let mut fields = reader.map(field)?;
    let name = fields
        .need("name", "a role's name", reader)
        .and_then(|field| reader.text(&field, "a role's name").map(str::to_owned));
    let password = fields
        .need("password", "{env: NAME} or {file: PATH}", reader)
        .and_then(|field| environment::secret(&field, "a password", reader));
    fields.done(&[], reader);
    Some(GateUser { name: name?, password: password? })
}
