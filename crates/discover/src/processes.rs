//! What this host's processes are connected to, from `/proc`. Other hosts are asked by running
//! there. Connections over Unix sockets have no peer in `/proc` and are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::{fs, io};

use changeover_assess::map::{Component, Discovery, Endpoint, Kind, Name, Relation, SourceKind};
use changeover_types::WallMs;

use crate::notes::{Notes, engine_of};

mod sockets;

use sockets::{Socket, State};

/// The most processes that are looked at.
const PROCESSES_MAX: usize = 50_000;

/// A process and what it is called.
struct Process {
    pid: u32,
    program: String,
    /// The systemd unit it runs in.
    unit: Option<String>,
    sockets: BTreeSet<u64>,
    /// Its network namespace.
    network: String,
}

impl Process {
    fn name(&self, scope: &str) -> Name {
        match &self.unit {
            Some(unit) => Name::component(scope, &format!("unit {unit}")),
            None => Name::component(scope, &format!("process {}", self.program)),
        }
    }

    fn label(&self) -> &str {
        match &self.unit {
            Some(unit) => unit.trim_end_matches(".service"),
            None => &self.program,
        }
    }
}

/// Looks at this host once.
#[must_use]
pub fn from_processes(now: WallMs) -> Discovery {
    let mut found = Discovery::default();
    found.read.insert("/proc".to_owned(), SourceKind::Processes);
    let mut notes = Notes { source: "/proc", machine: "machine", now, found: &mut found };
    let processes = processes(&mut notes);
    let own = fs::read_link("/proc/self/ns/net").map(|path| path.display().to_string());
    let own = own.unwrap_or_default();
    let networks: BTreeSet<&str> = processes.iter().map(|p| p.network.as_str()).collect();
    for network in networks {
        let members: Vec<&Process> = processes.iter().filter(|p| p.network == network).collect();
        let scope =
            if network == own { "machine".to_owned() } else { format!("network {network}") };
        let mut notes = Notes { source: "/proc/net/tcp", machine: &scope, now, found: notes.found };
        one_network(&mut notes, &members);
    }
    found
}

fn one_network(notes: &mut Notes<'_>, members: &[&Process]) {
    // Any member shows the tables of all; the first that still lives is asked.
    let tables =
        members.iter().find_map(|p| sockets::read(Path::new(&format!("/proc/{}/net", p.pid))).ok());
    let Some((sockets, addresses)) = tables else {
        let why = format!("the connections in {} could not be read", notes.machine);
        notes.unread(0, why, "run `changeover assess --proc` as root");
        return;
    };
    let owner: BTreeMap<u64, &Process> = members
        .iter()
        .flat_map(|process| process.sockets.iter().map(|inode| (*inode, *process)))
        .collect();
    let listening: BTreeSet<u16> =
        sockets.iter().filter(|s| s.state == State::Listen).map(|s| s.local.port()).collect();
    let mut seen: BTreeMap<Name, Component> = BTreeMap::new();
    for socket in &sockets {
        let Some(process) = owner.get(&socket.inode) else { continue };
        let name = process.name(notes.machine);
        let component = seen.entry(name.clone()).or_insert_with(|| {
            let says = format!("the process {} runs", process.program);
            let mut component =
                notes.component(process.label(), name.clone(), notes.observed(notes.now, says));
            let engine = engine_of(&process.program);
            component.kind = Some(engine.map_or(Kind::Service, |(_, kind)| kind));
            component.engine = engine.map(|(engine, _)| engine.to_owned());
            component
        });
        match socket.state {
            State::Listen => listens(notes.machine, component, socket.local, &addresses),
            State::Established => {}
        }
    }
    for component in seen.into_values() {
        notes.add(component);
    }
    for socket in sockets.iter().filter(|s| s.state == State::Established) {
        let Some(process) = owner.get(&socket.inode) else { continue };
        connected(notes, process, socket, &listening, &addresses);
    }
}

/// Its addresses: every one of the host's for a socket that listens on all.
fn listens(
    scope: &str,
    component: &mut Component,
    local: SocketAddr,
    addresses: &BTreeSet<String>,
) {
    let port = Some(local.port());
    component.names.insert(Name::address(scope, &local.ip().to_string(), port));
    if local.ip().to_canonical().is_unspecified() {
        component.names.extend(addresses.iter().map(|ip| Name::address(scope, ip, port)));
    }
}

/// An open connection: of a client, or a server's side of one from another host.
fn connected(
    notes: &mut Notes<'_>,
    process: &Process,
    socket: &Socket,
    listening: &BTreeSet<u16>,
    addresses: &BTreeSet<String>,
) {
    let name = process.name(notes.machine);
    let peer = socket.peer.ip().to_canonical();
    let here = peer.is_loopback() || addresses.contains(&peer.to_string());
    if listening.contains(&socket.local.port()) {
        // A client on this host is seen at its own end.
        if here {
            return;
        }
        let client = Name::address(notes.machine, &peer.to_string(), None);
        let says =
            format!("{peer} is connected to {} on port {}", process.program, socket.local.port());
        let evidence = notes.observed(notes.now, says);
        let mut component = notes.component(&peer.to_string(), client.clone(), evidence.clone());
        component.kind = Some(Kind::Host);
        notes.add(component);
        notes.uses(&client, name, evidence);
        return;
    }
    let to = Name::address(notes.machine, &peer.to_string(), Some(socket.peer.port()));
    let says = format!("{} (pid {}) is connected to {to}", process.program, process.pid);
    let evidence = notes.observed(notes.now, says);
    let assumed = Endpoint::usual_on(socket.peer.port());
    notes.link(&name, to, Relation::Uses, evidence, assumed);
}

/// Every process that may be looked into; the others are counted.
fn processes(notes: &mut Notes<'_>) -> Vec<Process> {
    let mut processes = Vec::new();
    let mut closed = 0_usize;
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) => {
            notes.unread(
                0,
                format!("the processes of this host: {error}"),
                "run it where /proc is",
            );
            return processes;
        }
    };
    let pids =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for (count, pid) in pids.enumerate() {
        if count == PROCESSES_MAX {
            let why = format!("more than {PROCESSES_MAX} processes: the rest was not looked at");
            notes.unread(0, why, "run it on a smaller host");
            break;
        }
        match process(pid) {
            Ok(Some(process)) => processes.push(process),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => closed += 1,
            // It ended while we looked.
            Err(_) => {}
        }
    }
    if closed > 0 {
        let why = format!("the sockets of {closed} processes of other users could not be seen");
        notes.unread(0, why, "run `changeover assess --proc` as root");
    }
    processes
}

fn process(pid: u32) -> io::Result<Option<Process>> {
    let folder = format!("/proc/{pid}");
    let sockets: BTreeSet<u64> = fs::read_dir(format!("{folder}/fd"))?
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect();
    if sockets.is_empty() {
        return Ok(None);
    }
    let network = fs::read_link(format!("{folder}/ns/net"))?.display().to_string();
    let comm = fs::read_to_string(format!("{folder}/comm"))?.trim().to_owned();
    let program = script(&folder, &comm).unwrap_or(comm);
    let groups = fs::read_to_string(format!("{folder}/cgroup")).unwrap_or_default();
    let unit = groups.split(['/', '\n']).rfind(|part| {
        part.ends_with(".service") && !part.starts_with("user@") && !part.starts_with("docker")
    });
    let unit = unit.map(str::to_owned);
    Ok(Some(Process { pid, program, unit, sockets, network }))
}

/// What an interpreter runs: the script's name. No other argument is looked at.
fn script(folder: &str, comm: &str) -> Option<String> {
    const INTERPRETERS: [&str; 6] = ["python", "node", "ruby", "java", "perl", "php"];
    const ENDS: [&str; 7] = [".py", ".js", ".mjs", ".rb", ".jar", ".pl", ".php"];
    INTERPRETERS.iter().any(|name| comm.starts_with(name)).then_some(())?;
    let line = fs::read(format!("{folder}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let script = line.split('\0').skip(1).find(|a| ENDS.iter().any(|end| a.ends_with(end)))?;
    Path::new(script).file_stem().map(|name| name.to_string_lossy().into_owned())
}
