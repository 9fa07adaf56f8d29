//! Peers that vanish are noticed: the kernel's own list says which connections it probes.

use std::net::SocketAddr;

use changeover_gate::sockets::KEEPALIVE_IDLE;

use crate::harness::{Client, RunningGate, Server, eventually};

/// Of the established connections of this machine: local port, remote port, and in how many
/// hundredths of a second the next probe is due, if one is.
fn connections() -> Vec<(u16, u16, Option<u64>)> {
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |address: &str| u16::from_str_radix(&address[9..], 16).unwrap();
    let mut all = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields[3] == "01" {
            // 2 is the keepalive timer.
            let due =
                fields[5].strip_prefix("02:").map(|due| u64::from_str_radix(due, 16).unwrap());
            all.push((port(fields[1]), port(fields[2]), due));
        }
    }
    all
}

/// Both of the gate's ends probe: towards clients of `gate`, and towards `server`.
pub(crate) async fn probed_on_both_legs(gate: SocketAddr, server: u16) {
    eventually("probes on both legs", || async {
        let all = connections();
        let legs = [
            all.iter().filter(|(local, _, _)| *local == gate.port()).collect::<Vec<_>>(),
            all.iter().filter(|(_, remote, _)| *remote == server).collect(),
        ];
        let most = KEEPALIVE_IDLE.as_secs() * 100;
        let fit = |due: &Option<u64>| due.is_some_and(|due| due <= most);
        legs.iter().all(|leg| !leg.is_empty() && leg.iter().all(|it| fit(&it.2))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_http_gate_probes_clients_and_upstreams() {
    let server = Server::named("ok").await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let mut client = Client::connect(gate.address).await;
    assert_eq!(client.get("/").await.unwrap().0, 200);
    probed_on_both_legs(gate.address, server.address.port()).await;
}
