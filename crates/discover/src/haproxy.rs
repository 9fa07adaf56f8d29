//! HAProxy. Sections with their lines; `defaults` give timeouts and limits to what follows.

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Discovery, Endpoint, Kind, Name, Relation, Trait};

use crate::compose::duration_ms;
use crate::files::{File, Root};
use crate::notes::Notes;

/// A line as words, and its number.
struct Line {
    words: Vec<String>,
    number: usize,
}

struct Section {
    kind: String,
    name: String,
    lines: Vec<Line>,
    number: usize,
}

impl Section {
    fn all<'s>(&'s self, word: &'s str) -> impl Iterator<Item = &'s Line> {
        self.lines.iter().filter(move |line| line.words[0] == word)
    }
}

/// Reads one file.
pub(crate) fn read(root: &Root<'_>, file: &File, found: &mut Discovery) {
    let mut notes = root.notes(&file.shown, found);
    let sections = sections(&file.text, &mut notes);
    let name = Name::component(notes.machine, "haproxy");
    for section in &sections {
        match section.kind.as_str() {
            "frontend" | "listen" => frontend(&mut notes, &name, section),
            "global" | "defaults" => {}
            _ => continue,
        }
        timeouts(&mut notes, section);
    }
    for section in &sections {
        if matches!(section.kind.as_str(), "backend" | "listen") {
            backend(&mut notes, &name, section, &sections);
        }
        if section.kind == "backend" {
            timeouts(&mut notes, section);
        }
    }
}

fn frontend(notes: &mut Notes<'_>, name: &Name, section: &Section) {
    let says = format!("{} {} of HAProxy", section.kind, section.name);
    let mut component =
        notes.component("haproxy", name.clone(), notes.declared(section.number, says));
    component.kind = Some(Kind::Service);
    component.engine = Some("haproxy".to_owned());
    let http = !section.all("mode").any(|line| line.words.get(1).is_some_and(|m| m == "tcp"));
    for bind in section.all("bind") {
        for address in bind.words.get(1).map(|a| a.split(',')).into_iter().flatten() {
            let Some((host, port)) = bind_address(address) else { continue };
            component.names.insert(Name::address(notes.machine, "localhost", Some(port)));
            let open = matches!(host.as_str(), "" | "*" | "0.0.0.0" | "::" | "[::]");
            if !open {
                component.names.insert(Name::address(notes.machine, &host, Some(port)));
            }
            if open && http {
                component.traits.insert(Trait::FacesClients);
            }
        }
    }
    notes.add(component);
}

/// `:80`, `*:80`, `10.0.0.5:80`, `ipv4@:80`, `[::]:443`; not ranges, sockets and file descriptors.
fn bind_address(text: &str) -> Option<(String, u16)> {
    let text = text.split_once('@').map_or(text, |(_, rest)| rest);
    let (host, port) = text.rsplit_once(':')?;
    let port = port.split('-').next()?.parse().ok()?;
    Some((host.trim_matches(['[', ']']).to_owned(), port))
}

/// A backend's servers. What they serve is judged by port, options and the frontends that use it.
fn backend(notes: &mut Notes<'_>, name: &Name, section: &Section, all: &[Section]) {
    for server in section.all("server").chain(section.all("server-template")) {
        let template = server.words[0] == "server-template";
        let Some(address) = server.words.get(if template { 3 } else { 2 }) else {
            notes.unread(server.number, "a server without an address", "haproxy -c -f FILE");
            continue;
        };
        if address.starts_with('/') || address.contains("unix@") || address.contains("${") {
            if address.contains("${") {
                let why = format!("the server {address} gets its address from a variable");
                notes.unread(server.number, why, "give the file that sets the variable");
            }
            continue;
        }
        let plain = address.split_once('@').map_or(address.as_str(), |(_, rest)| rest);
        let Some(endpoint) = Endpoint::parse(&format!("tcp://{plain}")) else {
            let why = format!("the server's address {address} is none");
            notes.unread(server.number, why, "haproxy -c -f FILE");
            continue;
        };
        let checks =
            section.all("option").filter_map(|line| line.words.get(1)).any(|o| o == "pgsql-check");
        let assumed = if checks {
            Some(("postgres", Kind::Database))
        } else {
            endpoint.port.and_then(Endpoint::usual_on)
        };
        let scope = notes.machine.to_owned();
        let to = Name::address(&scope, &endpoint.host, endpoint.port);
        let label = server.words.get(1).map(String::as_str).unwrap_or_default();
        let says = format!(
            "{} {} has the server {label} at {}",
            section.kind,
            section.name,
            endpoint.address()
        );
        let evidence = notes.declared(server.number, says);
        if to.is_ip() || to.host.contains('.') {
            let key = format!("server {label}");
            let what = HintKind::HardCodedAddress { key, address: endpoint.address() };
            notes.hint("haproxy", what, evidence.clone());
        }
        notes.link(name, to, Relation::Uses, evidence, assumed);
    }
    let used = all.iter().any(|other| {
        let uses = other.all("use_backend").chain(other.all("default_backend"));
        uses.into_iter()
            .any(|line| line.words.get(1).is_some_and(|n| *n == section.name || n.contains('%')))
    });
    if section.kind == "backend" && !used {
        let why = format!("no frontend here uses the backend {}", section.name);
        notes.unread(section.number, why, "give the file with its frontend, or take it out");
    }
}

fn timeouts(notes: &mut Notes<'_>, section: &Section) {
    for line in section.all("timeout") {
        let (Some(name), Some(text)) = (line.words.get(1), line.words.get(2)) else { continue };
        // Without a unit it is milliseconds.
        let Some(ms) = text.parse().ok().or_else(|| duration_ms(text)) else { continue };
        let evidence = notes.declared(line.number, format!("timeout {name} {text}"));
        if name == "tunnel" {
            let what = HintKind::LongLivedConnections {
                shows: "timeout tunnel".to_owned(),
                max_age_seconds: Some(ms / 1000),
            };
            notes.hint("haproxy", what, evidence);
        } else {
            notes.hint(
                "haproxy",
                HintKind::Timeout { name: format!("timeout {name}"), ms },
                evidence,
            );
        }
    }
}

/// Sections begin with a word of their own; conditional lines (`.if`) are passed over.
fn sections(text: &str, notes: &mut Notes<'_>) -> Vec<Section> {
    const KINDS: [&str; 15] = [
        "global",
        "defaults",
        "frontend",
        "backend",
        "listen",
        "userlist",
        "peers",
        "resolvers",
        "mailers",
        "program",
        "ring",
        "http-errors",
        "cache",
        "fcgi-app",
        "log-forward",
    ];
    let mut sections: Vec<Section> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let number = index + 1;
        let words = match words(raw) {
            Ok(words) => words,
            Err(why) => {
                notes.unread(number, why, "haproxy -c -f FILE");
                continue;
            }
        };
        let Some(first) = words.first() else { continue };
        if first.starts_with('.') {
            continue;
        }
        if KINDS.contains(&first.as_str()) {
            let name = words.get(1).cloned().unwrap_or_default();
            sections.push(Section { kind: first.clone(), name, lines: Vec::new(), number });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push(Line { words, number });
        } else {
            notes.unread(number, "a line before the first section", "haproxy -c -f FILE");
        }
    }
    sections
}

/// HAProxy's words: quotes, backslashes, and `#` as the start of a comment.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut started = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' => break,
            '\\' => {
                started = true;
                word.extend(chars.next());
            }
            '"' | '\'' => {
                started = true;
                loop {
                    match chars.next() {
                        None => return Err("a quote without its end".to_owned()),
                        Some(inner) if inner == c => break,
                        Some('\\') if c == '"' => word.extend(chars.next()),
                        Some(inner) => word.push(inner),
                    }
                }
            }
            c if c.is_whitespace() => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            c => {
                started = true;
                word.push(c);
            }
        }
    }
    if started {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests;
