//! What surrounds a move: files, this host's processes, Prometheus, the databases' clients; and
//! the dependency map that they make.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use changeover_assess::Inventory;
use changeover_assess::hints::HintKind;
use changeover_assess::inventory::{Around, Database};
use changeover_assess::map::{
    Candidate, Discovery, Endpoint, Map, MapDocument, SourceKind, Unread, build, candidates,
    mermaid, svg,
};
use changeover_discover::{
    DatabaseClients, Limits, from_activity, from_files, from_processes, from_prometheus,
    from_resolver, system_servers,
};
use changeover_engine::Report;
use changeover_types::{Side, WallMs};

use crate::cli::Places;
use crate::output::Output;
use crate::{exit, follow};

/// How a map is written.
#[derive(Clone, Copy)]
enum Form {
    Picture,
    Mermaid,
    Document,
}

/// Looks around, puts what was found where the checks look, and writes the map. Without a word
/// about where to look, nothing is looked at and all of it stays unknown. Answers what a plan could
/// name.
pub(in crate::verbs) fn look(
    places: &Places,
    limit: Duration,
    inventory: &mut Inventory,
    output: &Output,
) -> Result<Vec<Candidate>, Report> {
    let forms = places.map.iter().map(|file| form(file)).collect::<Result<Vec<_>, _>>()?;
    if !places.any() {
        return Ok(Vec::new());
    }
    let now = inventory.at;
    let mut found = from_files(&places.from, places.proc, &Limits::default(), now);
    if places.proc {
        found.extend(from_processes(now));
    }
    for url in &places.prometheus {
        found.extend(prometheus(url, limit, now)?);
    }
    for side in [Side::Source, Side::Target] {
        if let Some(database) = &inventory.side(side).database {
            found.extend(clients(database, now));
        }
    }
    if places.resolve {
        let names = names(&found);
        found.extend(from_resolver(&names, &system_servers(), limit, now));
    }
    let map = build(&found);
    inventory.around = Around::of(&map, &found, now);
    output.emit("map", &MapDocument::new(&map, &found));
    tell(&map, &found, output);
    for (file, form) in places.map.iter().zip(forms) {
        write(file, form, &map, &found, output)?;
    }
    Ok(candidates(&map))
}

fn form(file: &Path) -> Result<Form, Report> {
    match file.extension().and_then(|end| end.to_str()) {
        Some("svg") => Ok(Form::Picture),
        Some("mmd" | "mermaid") => Ok(Form::Mermaid),
        Some("json") => Ok(Form::Document),
        _ => Err(Report::new("CO0180", format!("the map {} has no known form", file.display()))
            .hint("end the file's name in .svg, .mmd or .json")
            .exit(exit::USAGE)),
    }
}

/// A server that cannot be asked is something unread, not the end.
fn prometheus(url: &str, limit: Duration, now: WallMs) -> Result<Discovery, Report> {
    follow::block_on(async {
        Ok(from_prometheus(url, limit, now).await.unwrap_or_else(|error| {
            let source = url.rsplit('@').next().unwrap_or_default().to_owned();
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let why = format!("{error}{}", cause.unwrap_or_default());
            let next = "curl the address followed by /api/v1/targets".to_owned();
            let mut found = Discovery::default();
            found.read.insert(source.clone(), SourceKind::Prometheus);
            found.unread.push(Unread { source, line: None, why, next });
            found
        }))
    })
}

/// Who is connected to a database that was looked at anyway.
fn clients(database: &Database, now: WallMs) -> Discovery {
    let endpoint = Endpoint::parse(&database.url);
    let (Some(endpoint), Ok(server), Ok(activity)) =
        (endpoint, database.server.get(), database.activity.get())
    else {
        return Discovery::default();
    };
    let clients = DatabaseClients {
        host: &endpoint.host,
        port: endpoint.port.unwrap_or(5432),
        database: &server.database,
        clients: &activity.clients,
        at: database.activity.at,
    };
    from_activity(&clients, now)
}

/// Host names of our own that clients resolve.
fn names(found: &Discovery) -> Vec<String> {
    let map = build(found);
    let ours = map.nodes.iter().filter(|node| node.moves()).flat_map(|node| &node.addresses);
    let written = found.hints.iter().filter_map(|hint| match &hint.what {
        HintKind::HardCodedAddress { address, .. } => Some(address),
        _ => None,
    });
    let foreign: BTreeSet<&String> =
        map.nodes.iter().filter(|node| !node.moves()).flat_map(|node| &node.addresses).collect();
    let hosts: BTreeSet<String> = ours
        .chain(written)
        .filter(|address| !foreign.contains(address))
        .map(|address| address.split(':').next().unwrap_or_default().to_owned())
        .filter(|host| host.contains('.') && host.chars().any(|c| c.is_ascii_alphabetic()))
        .filter(|host| !host.contains(['/', ' ', '_']))
        .collect();
    hosts.into_iter().collect()
}

/// The map in a few lines, and what could not be read.
fn tell(map: &Map, found: &Discovery, output: &Output) {
    output.note(format!(
        "found {} components and {} dependencies in {} places",
        map.nodes.len(),
        map.edges.len(),
        found.read.len()
    ));
    for cycle in &map.cycles {
        let members: Vec<&str> = cycle.iter().map(|id| id.0.as_str()).collect();
        output.note(format!("  cycle: {}", members.join(", ")));
    }
    for place in &map.order {
        let members: Vec<&str> = place
            .members
            .iter()
            .filter_map(|id| map.node(id).map(|node| node.label.as_str()))
            .collect();
        let line = format!("  move {}: {}: {}", place.wave, members.join(" + "), place.why);
        output.note(plain(&line));
    }
    for unread in &found.unread {
        let line = unread.line.map(|line| format!(":{line}")).unwrap_or_default();
        let text = format!("  not read: {}{line}: {} ({})", unread.source, unread.why, unread.next);
        output.note(plain(&text));
    }
}

/// What a plan could name, below a drafted one.
pub(super) fn as_comments(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n# Found around it; what moves has to be named above:\n");
    for Candidate { label, url, evidence } in candidates {
        let place = evidence.as_ref().map(|it| format!(" ({})", it.place())).unwrap_or_default();
        text += &format!("#   {}\n", plain(&format!("{label}: {url}{place}")));
    }
    text
}

/// Text from files, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn write(
    file: &PathBuf,
    form: Form,
    map: &Map,
    found: &Discovery,
    output: &Output,
) -> Result<(), Report> {
    let cannot = |error: &(dyn std::error::Error + 'static)| {
        Report::new("CO0181", format!("the map {} cannot be written", file.display()))
            .because(error)
    };
    let text = match form {
        Form::Picture => svg(map, "Dependency map"),
        Form::Mermaid => mermaid(map),
        Form::Document => {
            let document = serde_json::to_string_pretty(&MapDocument::new(map, found));
            document.map_err(|error| cannot(&error))? + "\n"
        }
    };
    fs::write(file, text).map_err(|error| cannot(&error))?;
    output.note(format!("wrote {}", file.display()));
    Ok(())
}
