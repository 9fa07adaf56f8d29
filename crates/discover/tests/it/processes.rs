//! `/proc`, with processes and sockets that the test makes.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use changeover_assess::map::{Relation, build};
use changeover_discover::from_processes;
use changeover_types::WallMs;

/// A child that dies with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A bash that runs `script`, says a line when it is there, and waits.
fn bash(script: &str) -> (Running, String) {
    let mut child = Command::new("bash")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Running(child), line.trim().to_owned())
}

#[test]
fn connections_of_real_processes_are_seen_with_their_names() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_client, said) =
        bash(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo connected; read -r _"));
    assert_eq!(said, "connected");
    let (_peer, _) = listener.accept().unwrap();
    let found = from_processes(WallMs(7));
    let address = format!("localhost:{port}");
    let link = found
        .links
        .iter()
        .find(|link| link.to.to_string() == address && link.evidence.says.starts_with("bash"))
        .unwrap_or_else(|| panic!("{address} in {:#?}", found.links));
    assert!(link.evidence.is_observed());
    assert_eq!(link.relation, Relation::Uses);

    let map = build(&found);
    let server = map.nodes.iter().find(|node| node.addresses.contains(&address)).unwrap();
    let client = map.nodes.iter().find(|n| n.addresses.contains(&link.from.to_string())).unwrap();
    if client.id == server.id {
        // Where the tests run as a systemd service, both are that service.
        assert!(client.addresses.iter().any(|name| name.starts_with("unit ")), "{client:?}");
    } else {
        let edge = map.edges.iter().find(|edge| edge.from == client.id && edge.to == server.id);
        assert!(edge.is_some_and(|edge| edge.observed), "{:#?}", map.edges);
    }
    assert_eq!(
        found.links.iter().filter(|link| link.evidence.says.contains(&address)).count(),
        1,
        "a connection inside one host is one edge, from the client"
    );
}

#[test]
fn a_database_server_is_known_by_its_program() {
    // A program called `redis-server` that only listens: the name is what `/proc` shows.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("redis-server");
    std::os::unix::fs::symlink("/bin/bash", &program).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut child = Command::new(&program)
        .args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo there; read -r _")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _running = Running(child);
    assert_eq!(line, "there\n");
    let found = from_processes(WallMs(7));
    let seen = found.components.iter().find(|component| component.label == "redis-server");
    let units = found.links.iter().any(|link| link.evidence.says.starts_with("redis-server"));
    assert!(units, "{:#?}", found.links);
    if let Some(seen) = seen {
        assert_eq!(seen.engine.as_deref(), Some("redis"));
    }
}
