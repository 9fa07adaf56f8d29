//! systemd units. Units of a root belong to one machine; `.timer` units make what they start
//! background work, drop-ins say more of their unit.

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Discovery, Endpoint, Kind, Name, Relation, Trait};

use crate::compose::duration_ms;
use crate::files::{File, Root};
use crate::notes::{Notes, engine_of, sounds_like_background};
use crate::values::{Owner, Setting, environment_file, listens_on, settings};

/// A variable and where it is set.
struct Variable {
    key: String,
    value: String,
    file: Option<String>,
    line: usize,
}

/// `Key=value` with its section and line; continued lines are joined.
struct Entry {
    section: String,
    key: String,
    value: String,
    line: usize,
}

struct Unit<'a> {
    file: &'a File,
    /// `api.service`, also for a drop-in in `api.service.d`.
    name: String,
    entries: Vec<Entry>,
}

impl Unit<'_> {
    fn all<'u>(&'u self, key: &'u str) -> impl Iterator<Item = &'u Entry> {
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    fn stem(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(stem, _)| stem)
    }
}

/// Reads all units of a root.
pub(crate) fn read(root: &Root<'_>, files: &[&File], found: &mut Discovery) {
    let mut units = Vec::new();
    for file in files {
        let mut notes = root.notes(&file.shown, found);
        let name = unit_name(file);
        units.push(Unit { file, name, entries: entries(&file.text, &mut notes) });
    }
    for unit in &units {
        let mut notes = root.notes(&unit.file.shown, found);
        if unit.name.ends_with(".service") {
            service(root, &mut notes, unit, &units);
        } else if unit.name.ends_with(".timer") {
            timer(&mut notes, unit);
        }
    }
}

fn unit_name(file: &File) -> String {
    let name = |path: &std::path::Path| {
        path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let folder = file.path.parent().map(name).unwrap_or_default();
    folder.strip_suffix(".d").map_or_else(|| name(&file.path), str::to_owned)
}

fn name_of(notes: &Notes<'_>, unit: &str) -> Name {
    Name::component(notes.machine, &format!("unit {unit}"))
}

fn service(root: &Root<'_>, notes: &mut Notes<'_>, unit: &Unit<'_>, units: &[Unit<'_>]) {
    let name = name_of(notes, &unit.name);
    let command = unit.all("ExecStart").next();
    let program = command.map(|entry| program(&entry.value)).unwrap_or_default();
    let line = command.map_or(1, |entry| entry.line);
    let says = if program.is_empty() {
        format!("{} is set up", unit.name)
    } else {
        format!("{} starts {program}", unit.name)
    };
    let mut component = notes.component(unit.stem(), name.clone(), notes.declared(line, says));
    let engine = engine_of(program.rsplit('/').next().unwrap_or_default());
    component.kind = engine.map(|(_, kind)| kind).or(command.map(|_| Kind::Service));
    component.engine = engine.map(|(engine, _)| engine.to_owned());
    let oneshot = unit.all("Type").any(|entry| entry.value == "oneshot");
    let words = command.map(|entry| entry.value.as_str()).unwrap_or_default();
    let timed = units.iter().any(|u| u.name == format!("{}.timer", unit.stem()));
    let sounds = sounds_like_background(unit.stem()) || sounds_like_background(words);
    if component.kind == Some(Kind::Service) && (sounds || timed) {
        component.traits.insert(Trait::Background);
        if !timed && !oneshot {
            let evidence = notes.declared(line, format!("{} works by itself", unit.name));
            notes.hint(unit.stem(), HintKind::BackgroundWork { schedule: None }, evidence);
        }
    }
    for entry in unit.all("StateDirectory") {
        component.traits.insert(Trait::KeepsFiles);
        for folder in entry.value.split_whitespace() {
            let path = format!("/var/lib/{folder}");
            let evidence =
                notes.declared(entry.line, format!("{} keeps files under {path}", unit.name));
            let volume = "StateDirectory".to_owned();
            notes.hint(unit.stem(), HintKind::LocalState { path, volume }, evidence);
        }
    }
    for key in ["TimeoutStopSec", "TimeoutSec"] {
        for entry in unit.all(key) {
            let seconds =
                entry.value.parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000));
            if let Some(ms) = seconds
                .or_else(|| duration_ms(&entry.value.replace("min", "m").replace("sec", "s")))
            {
                let evidence =
                    notes.declared(entry.line, format!("{} has {ms} ms to stop", unit.name));
                notes.hint(unit.stem(), HintKind::Timeout { name: key.to_owned(), ms }, evidence);
            }
        }
    }
    let variables = environment(root, notes, unit);
    let mut all: Vec<Setting<'_>> = variables
        .iter()
        .map(|v| Setting { key: &v.key, value: &v.value, file: v.file.as_deref(), line: v.line })
        .collect();
    let arguments = command.map(|entry| entry.value.split_whitespace().skip(1));
    all.extend(arguments.into_iter().flatten().map(|word| {
        let (key, value) = argument(word);
        Setting { key, value, file: None, line }
    }));
    let ports = all.iter().filter_map(|setting| listens_on(setting.key, setting.value));
    let usual = engine.and_then(|(engine, _)| Endpoint::usual_port(engine));
    for port in ports.chain(usual) {
        component.names.insert(Name::address(notes.machine, "localhost", Some(port)));
    }
    notes.add(component);
    relations(notes, unit, &name, units);
    let scope = notes.machine.to_owned();
    settings(notes, &Owner { label: unit.stem(), name: &name, scope: &scope }, &all);
}

/// `--name=value` as key and value, else the word as a value.
fn argument(word: &str) -> (&str, &str) {
    let pair = word.strip_prefix('-').and_then(|rest| rest.split_once('='));
    let (key, value) = pair.unwrap_or(("ExecStart", word));
    (key.trim_start_matches('-'), value.trim_matches(['"', '\'']))
}

/// The path of what a command starts, without the prefixes that systemd knows.
fn program(command: &str) -> String {
    let word = command.split_whitespace().next().unwrap_or_default();
    word.trim_start_matches(['-', '@', ':', '+', '!']).trim_matches('"').to_owned()
}

/// What the unit needs; a mere order counts only between units that were given.
fn relations(notes: &mut Notes<'_>, unit: &Unit<'_>, name: &Name, units: &[Unit<'_>]) {
    for key in ["Requires", "BindsTo", "Requisite", "Wants", "After"] {
        for entry in unit.all(key) {
            for other in entry.value.split_whitespace().filter(|o| o.ends_with(".service")) {
                let given = units.iter().any(|u| u.name == other);
                let engine = engine_of(other.trim_end_matches(".service"));
                if other == unit.name || !(given || (key != "After" && engine.is_some())) {
                    continue;
                }
                let evidence =
                    notes.declared(entry.line, format!("{} says {key}={other}", unit.name));
                // A unit that was not given is known by the port of what it is.
                let usual = engine.and_then(|(engine, _)| Endpoint::usual_port(engine));
                let to = match usual {
                    Some(port) if !given => Name::address(notes.machine, "localhost", Some(port)),
                    _ => name_of(notes, other),
                };
                notes.link(name, to, Relation::Uses, evidence, engine);
            }
        }
    }
}

fn timer(notes: &mut Notes<'_>, unit: &Unit<'_>) {
    let times: Vec<&Entry> = unit
        .entries
        .iter()
        .filter(|entry| entry.section == "Timer" && entry.key.starts_with("On"))
        .collect();
    let schedule: Vec<String> = times.iter().map(|e| format!("{}={}", e.key, e.value)).collect();
    let target =
        unit.all("Unit").next().map_or(unit.stem(), |e| e.value.trim_end_matches(".service"));
    let line = times.first().map_or(1, |entry| entry.line);
    let evidence = notes.declared(line, format!("{} starts {target} by itself", unit.name));
    let schedule = (!schedule.is_empty()).then(|| schedule.join(" "));
    notes.hint(target, HintKind::BackgroundWork { schedule }, evidence);
}

/// `Environment=` and the files of `EnvironmentFile=` that are inside the root.
fn environment(root: &Root<'_>, notes: &mut Notes<'_>, unit: &Unit<'_>) -> Vec<Variable> {
    let mut all: Vec<Variable> = Vec::new();
    for entry in unit.all("Environment") {
        for word in words(&entry.value) {
            if let Some((key, value)) = word.split_once('=') {
                let (key, value) = (key.to_owned(), value.to_owned());
                all.push(Variable { key, value, file: None, line: entry.line });
            }
        }
    }
    for entry in unit.all("EnvironmentFile") {
        let path = entry.value.trim_start_matches('-');
        let optional = entry.value.starts_with('-');
        match root.referred(&unit.file.path, path) {
            Ok(file) => {
                all.extend(environment_file(&file.text).into_iter().map(|(key, value, line)| {
                    Variable { key, value, file: Some(file.shown.clone()), line }
                }))
            }
            Err(_) if optional => {}
            Err(why) => {
                let what = format!("the environment file {path} of {}: {why}", unit.name);
                notes.unread(entry.line, what, "give it inside the folder");
            }
        }
    }
    all
}

/// Words with their quotes taken off, as systemd splits them.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn entries(text: &str, notes: &mut Notes<'_>) -> Vec<Entry> {
    let (mut section, mut entries) = (String::new(), Vec::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut content = line.trim().to_owned();
        while content.ends_with('\\') {
            content.pop();
            // Comments inside a continued line are skipped.
            let next = lines.by_ref().map(|(_, l)| l.trim()).find(|l| !l.starts_with(['#', ';']));
            let Some(next) = next else { break };
            content.push(' ');
            content.push_str(next);
        }
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = content.split_once('=') {
            entries.push(Entry {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                line: number + 1,
            });
        } else {
            notes.unread(number + 1, "neither a section nor `Key=value`", "mend the unit");
        }
    }
    entries
}
