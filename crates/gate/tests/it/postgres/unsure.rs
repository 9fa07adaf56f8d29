//! A gate that does not know asks the databases, and waits until one side proves itself.

use std::time::Duration;

use changeover_gate::postgres::read_authority;
use changeover_routing::{HoldView, Reading};
use changeover_types::{Epoch, MigrationName, Side};

use super::super::harness::eventually;
use super::bench::{Bench, TestGate, connect, direct, place};

const TABLE: &str = "create schema changeover; create table changeover.epoch (migration text, \
    epoch bigint, kind text, authority text, run text, at timestamptz default now(), \
    primary key (migration, epoch))";

fn row(epoch: u64, kind: &str, authority: &str) -> String {
    format!(
        "insert into changeover.epoch values ('shop', {epoch}, '{kind}', '{authority}', 'r'), \
         ('another', 99, 'genesis', 'target', 'r') on conflict do nothing"
    )
}

#[tokio::test]
async fn both_databases_are_asked() {
    let mut bench = Bench::new().await;
    let name = MigrationName::new("shop").unwrap();
    let read = read_authority(&bench.config, &name).await;
    assert_eq!((read.source, read.target), (Reading::NoRow, Reading::NoRow));
    bench.both(TABLE).await;
    bench.both(&row(1, "genesis", "source")).await;
    let blue = direct(&bench.source, "blue").await;
    blue.batch_execute(&row(2, "seal", "none")).await.unwrap();
    let read = read_authority(&bench.config, &name).await;
    assert_eq!(read.source, Reading::Row { epoch: Epoch(2), authority: None });
    assert_eq!(read.target, Reading::Row { epoch: Epoch(1), authority: Some(Side::Source) });
    bench.target.stop("immediate").unwrap();
    assert_eq!(read_authority(&bench.config, &name).await.target, Reading::Unreachable);
}

#[tokio::test]
async fn a_restarted_gate_goes_to_the_side_that_proves_itself() {
    let Bench { gate, config, source, target, folder } = Bench::new().await;
    let (blue, green) = (direct(&source, "blue").await, direct(&target, "green").await);
    for side in [&blue, &green] {
        side.batch_execute(TABLE).await.unwrap();
        side.batch_execute(&row(1, "genesis", "source")).await.unwrap();
    }
    drop(gate);
    blue.batch_execute(&row(2, "seal", "none")).await.unwrap();
    let gate = TestGate::start(config, folder.path(), true);
    // Between seal and grant nobody has authority: clients wait.
    let parameters = format!("{} user=postgres", super::bench::address(&gate));
    let (client, ()) = tokio::join!(connect(&parameters), async {
        gate.parked(1).await;
        assert_eq!(gate.shared.hold_view(), HoldView::Unsure);
        green.batch_execute(&row(2, "grant", "target")).await.unwrap();
    });
    assert_eq!(place(&client.unwrap()).await, "green");
    let route = gate.shared.route().unwrap();
    assert_eq!((route.authority, route.authority_epoch), (Side::Target, Epoch(2)));
}

#[tokio::test]
async fn a_hold_that_lapses_after_sealing_waits_for_proof() {
    let bench = Bench::new().await;
    bench.both(TABLE).await;
    bench.both(&row(1, "genesis", "source")).await;
    let client = bench.client().await;
    client.batch_execute("set work_mem = '3MB'").await.unwrap();
    bench.gate.hold(400);
    bench.gate.quiet().await;
    direct(&bench.source, "blue").await.batch_execute(&row(2, "seal", "none")).await.unwrap();
    bench.gate.sealing(2, Side::Source);
    let (answer, ()) = tokio::join!(client.simple_query("show work_mem"), async {
        eventually("it lapses", async || {
            (bench.gate.shared.hold_view() == HoldView::Unsure).then_some(())
        })
        .await;
        bench.gate.parked(1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(bench.gate.shared.hold_view(), HoldView::Unsure);
        let green = direct(&bench.target, "green").await;
        green.batch_execute(&row(2, "grant", "target")).await.unwrap();
    });
    answer.unwrap();
    assert_eq!(place(&client).await, "green");
    assert_eq!(super::bench::one(&client, "show work_mem").await, "3MB");
}
