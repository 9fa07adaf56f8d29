//! Compose files. Services of one file are one project, named as Compose names it: by `name`,
//! else by the folder; overriding files of the same folder say more of the same services.

use std::collections::BTreeMap;

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Component, Discovery, Kind, Name, Trait};

use crate::files::{File, Root};
use crate::notes::{Notes, engine_of_image, sounds_like_background};
use crate::tree::{self, Node, Shape};
use crate::values::{Owner, Setting, environment_file, interpolate, settings};

/// Reads one file.
pub(crate) fn read(root: &Root<'_>, file: &File, found: &mut Discovery) {
    let mut notes = root.notes(&file.shown, found);
    let Ok(documents) = tree::yaml(&file.text) else { return };
    let variables: BTreeMap<String, String> = root
        .referred(&file.path, ".env")
        .map(|file| environment_file(&file.text).into_iter().map(|(k, v, _)| (k, v)).collect())
        .unwrap_or_default();
    for document in &documents {
        let project = project(document, file);
        for (name, service) in document.get("services").entries() {
            let reader =
                Service { root, file, name, service, project: &project, variables: &variables };
            reader.read(&mut notes);
        }
    }
}

fn project(document: &Node, file: &File) -> String {
    let folder = || file.path.parent().and_then(|p| p.file_name()).map(|n| n.to_string_lossy());
    let name = document.get("name").text().map(str::to_owned);
    let name = name.or_else(|| folder().map(|name| name.into_owned()));
    format!("compose project {}", name.unwrap_or_default())
}

/// A variable and where it is set; the file if it is another one.
struct Variable {
    key: String,
    value: String,
    file: Option<String>,
    line: usize,
}

struct Service<'a> {
    root: &'a Root<'a>,
    file: &'a File,
    name: &'a str,
    service: &'a Node,
    project: &'a str,
    variables: &'a BTreeMap<String, String>,
}

impl Service<'_> {
    fn read(&self, notes: &mut Notes<'_>) {
        let name = Name::component(self.project, self.name);
        let line = self.service.line;
        let image = self.text(self.service.get("image"));
        let engine = engine_of_image(&image);
        let says = if image.is_empty() {
            format!("service {}", self.name)
        } else {
            format!("service {} from the image {image}", self.name)
        };
        let evidence = notes.declared(line, says);
        let mut component = notes.component(self.name, name.clone(), evidence);
        component.engine = engine.map(|(engine, _)| engine.to_owned());
        notes.image(self.name, &image, line);
        let described = !image.is_empty() || !self.service.get("build").is_null();
        component.kind = engine.map(|(_, kind)| kind).or(described.then_some(Kind::Service));
        self.names(&mut component);
        self.ports(notes, &mut component);
        let extends = self.service.get("extends");
        if !extends.is_null() {
            let why = format!("{} extends another service, which is not followed", self.name);
            notes.unread(extends.line, why, "give what `docker compose config` prints");
        }
        self.background(notes, &mut component);
        self.volumes(notes, &mut component);
        self.health(notes, &component, described);
        let environment = self.environment(notes);
        if component.kind == Some(Kind::Database) {
            let databases = environment
                .iter()
                .filter(|v| matches!(v.key.as_str(), "POSTGRES_DB" | "MYSQL_DATABASE"))
                .map(|v| v.value.clone());
            component.databases.extend(databases);
        }
        let is_store = component.kind.is_some_and(|kind| kind != Kind::Service);
        notes.add(component);
        self.depends_on(notes, &name);
        let all: Vec<Setting<'_>> = environment
            .iter()
            .filter(|v| !(is_store && v.key.ends_with("_DB")))
            .map(|v| Setting {
                key: &v.key,
                value: &v.value,
                file: v.file.as_deref(),
                line: v.line,
            })
            .collect();
        settings(notes, &Owner { label: self.name, name: &name, scope: self.project }, &all);
    }

    fn text(&self, node: &Node) -> String {
        interpolate(node.text().unwrap_or_default(), self.variables)
    }

    /// Other names that reach the service inside its networks.
    fn names(&self, component: &mut Component) {
        for key in ["container_name", "hostname"] {
            let name = self.text(self.service.get(key));
            if !name.is_empty() {
                component.names.insert(Name::component(self.project, &name));
            }
        }
        for (_, network) in self.service.get("networks").entries() {
            for (alias, _) in network.get("aliases").texts() {
                component.names.insert(Name::component(self.project, alias));
            }
        }
    }

    /// Published ports are addresses of the machine.
    fn ports(&self, notes: &Notes<'_>, component: &mut Component) {
        for port in self.service.get("ports").items() {
            let (host, published) = match &port.shape {
                Shape::Text(text) => published(&interpolate(text, self.variables)),
                _ => {
                    let host = self.text(port.get("host_ip"));
                    (host, self.text(port.get("published")).parse().ok())
                }
            };
            let Some(published) = published else { continue };
            component.names.insert(Name::address(notes.machine, "localhost", Some(published)));
            if !host.is_empty() {
                component.names.insert(Name::address(notes.machine, &host, Some(published)));
            }
            let local = matches!(host.as_str(), "127.0.0.1" | "::1" | "[::1]" | "localhost");
            if matches!(published, 80 | 443) && !local {
                component.traits.insert(Trait::FacesClients);
            }
        }
    }

    fn background(&self, notes: &mut Notes<'_>, component: &mut Component) {
        let command = self.service.get("command");
        let words: Vec<&str> = command.texts().into_iter().map(|(text, _)| text).collect();
        let sounds = sounds_like_background(self.name) || sounds_like_background(&words.join(" "));
        let serves = !self.service.get("ports").is_null();
        if component.kind == Some(Kind::Service) && sounds && !serves {
            component.traits.insert(Trait::Background);
            let what = HintKind::BackgroundWork { schedule: None };
            let evidence =
                notes.declared(self.service.line, format!("{} works by itself", self.name));
            notes.hint(self.name, what, evidence);
        }
    }

    fn volumes(&self, notes: &mut Notes<'_>, component: &mut Component) {
        for volume in self.service.get("volumes").items() {
            let (from, to, read_only) = match &volume.shape {
                Shape::Text(text) => {
                    let text = interpolate(text, self.variables);
                    let mut parts = text.splitn(3, ':');
                    let from = parts.next().unwrap_or_default().to_owned();
                    let to = parts.next().unwrap_or(&from).to_owned();
                    let read_only = parts.next().is_some_and(|o| o.split(',').any(|o| o == "ro"));
                    (from, to, read_only)
                }
                _ => (
                    self.text(volume.get("source")),
                    self.text(volume.get("target")),
                    volume.get("read_only").is_true() || volume.get("type").text() == Some("tmpfs"),
                ),
            };
            // Files that are mounted are configuration.
            let is_file = to.rsplit('/').next().is_some_and(|last| last.contains('.'));
            let socket = from.ends_with(".sock");
            if read_only || is_file || socket || component.kind != Some(Kind::Service) {
                continue;
            }
            component.traits.insert(Trait::KeepsFiles);
            let says = format!("{} keeps files under {to}", self.name);
            let evidence = notes.declared(volume.line, says);
            notes.hint(self.name, HintKind::LocalState { path: to, volume: from }, evidence);
        }
    }

    fn health(&self, notes: &mut Notes<'_>, component: &Component, described: bool) {
        let check = self.service.get("healthcheck");
        if !is_probed(check)
            && described
            && component.kind == Some(Kind::Service)
            && !component.traits.contains(&Trait::Background)
        {
            let says = format!("{} has no health check", self.name);
            let evidence = notes.declared(self.service.line, says);
            notes.hint(self.name, HintKind::NoHealthCheck, evidence);
        }
        let grace = self.service.get("stop_grace_period");
        if let Some(ms) = grace.text().and_then(duration_ms) {
            let name = "stop_grace_period".to_owned();
            let evidence =
                notes.declared(grace.line, format!("{} may drain for {ms} ms", self.name));
            notes.hint(self.name, HintKind::Timeout { name, ms }, evidence);
        }
    }

    /// The service's own environment, then what its files inside the root add.
    fn environment(&self, notes: &mut Notes<'_>) -> Vec<Variable> {
        let mut all: Vec<Variable> = Vec::new();
        let node = self.service.get("environment");
        for (key, value) in node.entries() {
            let text = self.text(value);
            all.push(Variable { key: key.clone(), value: text, file: None, line: value.line });
        }
        for item in node.items() {
            let text = self.text(item);
            if let Some((key, value)) = text.split_once('=') {
                let (key, value) = (key.to_owned(), value.to_owned());
                all.push(Variable { key, value, file: None, line: item.line });
            }
        }
        let files = self.service.get("env_file");
        let listed = files.items().iter().filter_map(|f| f.get("path").text().map(|t| (t, f.line)));
        for (path, line) in files.texts().into_iter().chain(listed) {
            match self.root.referred(&self.file.path, path) {
                Ok(file) => {
                    for (key, value, line) in environment_file(&file.text) {
                        if !all.iter().any(|other| other.key == key) {
                            all.push(Variable { key, value, file: Some(file.shown.clone()), line });
                        }
                    }
                }
                Err(why) => {
                    let what = format!("the environment file {path} of {}: {why}", self.name);
                    notes.unread(line, what, "give it inside the folder");
                }
            }
        }
        all
    }

    fn depends_on(&self, notes: &mut Notes<'_>, name: &Name) {
        let node = self.service.get("depends_on");
        let listed = node.items().iter().filter_map(|item| item.text().map(|t| (t, item.line)));
        let mapped = node.entries().iter().map(|(key, value)| (key.as_str(), value.line));
        for (other, line) in listed.chain(mapped) {
            let says = format!("{} depends_on {other}", self.name);
            let evidence = notes.declared(line, says);
            notes.uses(name, Name::component(self.project, other), evidence);
        }
        for (link, line) in self.service.get("links").texts() {
            let other = link.split(':').next().unwrap_or_default();
            let evidence = notes.declared(line, format!("{} is linked to {other}", self.name));
            notes.uses(name, Name::component(self.project, other), evidence);
        }
    }
}

/// Whether a health check is declared and not switched off.
fn is_probed(check: &Node) -> bool {
    let test = check.get("test").texts();
    let first = test.iter().flat_map(|(text, _)| text.split_whitespace()).next();
    !check.get("disable").is_true() && first.is_some_and(|word| word != "NONE")
}

/// Host and published port of the short form `[host:]published:container[/protocol]`.
fn published(text: &str) -> (String, Option<u16>) {
    let text = text.split('/').next().unwrap_or_default();
    let mut parts = text.rsplitn(3, ':');
    parts.next();
    let port = parts.next().and_then(|port| port.split('-').next()?.parse().ok());
    (parts.next().unwrap_or_default().to_owned(), port)
}

/// `1m30s`, `500ms`, `10s`.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] =
        [("ms", 1), ("us", 0), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("d", 86_400_000)];
    let mut rest = text.trim();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let (unit, scale) = UNITS.iter().find(|(unit, _)| rest[end..].starts_with(unit))?;
        total = total.checked_add(number.checked_mul(*scale)?)?;
        rest = &rest[end + unit.len()..];
    }
    (!text.trim().is_empty()).then_some(total)
}
