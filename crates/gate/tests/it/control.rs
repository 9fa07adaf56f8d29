//! The control socket: who is obeyed, and what survives.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use changeover_gate::process::{Gate, GateError};
use changeover_routing::{Answer, Order, OrderNumber, Route};
use changeover_types::{Epoch, Side, Split};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::harness::{RunningGate, Server, config, eventually};

fn route(target_permille: u16, authority: Side, epoch: u64) -> Route {
    Route { target_permille, authority, authority_epoch: Epoch(epoch) }
}

#[tokio::test]
async fn an_order_is_obeyed_once_and_never_backwards() {
    let server = Server::named("x").await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let mut control = gate.control().await;
    let number = OrderNumber { epoch: Epoch(3), sequence: 7 };
    let order = Order::Route { number, route: route(10, Side::Target, 3), split: Split::default() };
    assert!(matches!(control.send(order.clone()).await.unwrap(), Answer::Status(_)));
    let lower = OrderNumber { epoch: Epoch(2), sequence: 900 };
    for refused in [order, Order::Hold { number: lower, budget_ms: 100 }] {
        let Answer::Refused { why, obeyed } = control.send(refused).await.unwrap() else {
            panic!("obeyed");
        };
        assert_eq!(obeyed, number);
        assert!(why.contains("not newer than 3/7"), "{why}");
    }
    let next = OrderNumber { epoch: Epoch(3), sequence: 8 };
    let back =
        Order::Route { number: next, route: route(10, Side::Source, 2), split: Split::default() };
    assert!(matches!(control.send(back).await.unwrap(), Answer::Refused { .. }));
    assert_eq!(gate.status().await.route, Some(route(10, Side::Target, 3)));
}

#[tokio::test]
async fn a_restarted_gate_has_its_route_and_its_number() {
    let server = Server::named("x").await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let number = OrderNumber { epoch: Epoch(2), sequence: 5 };
    let first = {
        let gate = RunningGate::start_in(Arc::clone(&folder), &[server.address], &[server.address]);
        gate.order(Order::Route {
            number,
            route: route(250, Side::Source, 1),
            split: Split::default(),
        })
        .await
    };
    let gate = RunningGate::start_in(folder, &[server.address], &[server.address]);
    let second = gate.status().await;
    assert_eq!((second.obeyed, second.route), (number, Some(route(250, Side::Source, 1))));
    assert_ne!(second.incarnation, first.incarnation);
    let again = Order::Hold { number, budget_ms: 10 };
    let answer = gate.control().await.send(again).await.unwrap();
    assert!(matches!(answer, Answer::Refused { .. }));
}

#[tokio::test]
async fn a_hold_lapses_by_the_gates_own_clock() {
    let server = Server::named("x").await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    gate.hold(60).await;
    let held = gate.status().await.hold;
    assert!(held.is_none_or(|hold| hold.remaining_ms <= 60));
    eventually("the hold to lapse", || async { gate.status().await.hold.is_none().then_some(()) })
        .await;
    assert_eq!(gate.metrics().await.lapsed, 1);
    let renew = Order::Renew { number: gate.number(), budget_ms: 100 };
    let answer = gate.control().await.send(renew).await.unwrap();
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_hold_that_lapses_after_a_seal_was_announced_does_not_open() {
    let server = Server::named("x").await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    gate.hold(200).await;
    let number = gate.number();
    gate.order(Order::Sealing { number, epoch: Epoch(2), from: Side::Source }).await;
    eventually("the hold to lapse", || async { (gate.metrics().await.lapsed == 1).then_some(()) })
        .await;
    let address = gate.address;
    let held =
        tokio::spawn(async move { crate::harness::Client::connect(address).await.get("/").await });
    gate.parked(1).await;
    gate.release().await;
    assert_eq!(held.await.unwrap().unwrap(), (200, "x".to_owned()));
}

#[tokio::test]
async fn nonsense_is_answered_with_a_fault_and_the_end() {
    let server = Server::named("x").await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let path = gate.folder.path().join("gate.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut long = vec![b'x'; 70_000];
    long.push(b'\n');
    for (line, expected) in [
        (&b"hello\n"[..], "not an order"),
        (br#"{"v":9,"id":1,"order":{"do":"status"}}"#, "cut short"),
        (b"{\"v\":9,\"id\":1,\"order\":{\"do\":\"status\"}}\n", "protocol version 9"),
        (b"{\"v\":1,\"id\":1,\"order\":{\"do\":\"dance\"}}\n", "dance"),
        (&long, "longer than"),
    ] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        // The gate may stop reading an overlong line before it is written whole.
        let written = stream.write_all(line).await;
        assert!(written.is_ok() || line.len() > 60_000);
        drop(stream.shutdown().await);
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        assert!(read.is_ok() || line.len() > 60_000, "{read:?}");
        assert!(answer.contains(expected), "{answer:?} for {expected}");
    }
    // Nobody else was disturbed.
    gate.status().await;
}

#[tokio::test]
async fn a_second_gate_and_a_taken_address_are_named() {
    let server = Server::named("x").await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let same_socket = config(gate.folder.path(), &[server.address], &[server.address]);
    let error = Gate::bind(same_socket).unwrap_err();
    assert!(matches!(error, GateError::Control(_)), "{error}");
    assert!(error.to_string().contains("another gate already serves"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let mut same_address = config(folder.path(), &[server.address], &[server.address]);
    same_address.http.as_mut().unwrap().listen = gate.address;
    let error = Gate::bind(same_address).unwrap_err();
    assert!(error.to_string().contains(&gate.address.to_string()), "{error}");
}

#[tokio::test]
async fn several_onlookers_are_answered_at_once() {
    let server = Server::named("x").await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(gate.control().await);
    }
    for control in &mut idle {
        let control = std::mem::replace(control, gate.control().await);
        let mut control = control.with_deadline(Duration::from_secs(2));
        assert!(matches!(control.send(Order::Status).await.unwrap(), Answer::Status(_)));
    }
}
