//! Exactly once, in order, whole, and never acknowledged before it is durable (P1, P2, P3, P5).

use changeover_relay::Limits;
use changeover_types::Lsn;
use proptest::prelude::*;

use crate::world::{BETWEEN, Kind, Receiver, Session, Transaction, history};

#[derive(Clone, Debug)]
enum Action {
    Feed(usize),
    Step(usize),
    Acknowledge,
    Crash,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        8 => (0_usize..4).prop_map(Kind::Data),
        2 => (10_usize..40).prop_map(Kind::Data),
        1 => (1_usize..20).prop_map(Kind::DataWithHeartbeat),
        1 => (0_usize..3).prop_map(Kind::Stranger),
        2 => Just(Kind::Heartbeat),
        1 => Just(Kind::Empty),
        2 => (0_usize..30).prop_map(Kind::Ours),
        1 => Just(Kind::Turn),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1_usize..40).prop_map(Action::Feed),
        6 => (1_usize..12).prop_map(Action::Step),
        3 => Just(Action::Acknowledge),
        1 => Just(Action::Crash),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (1_usize..30, 1_usize..9_000, 200_usize..5_000).prop_map(|(changes, batch, open)| Limits {
        max_batch_changes: changes,
        max_batch_bytes: batch,
        max_open_bytes: open,
    })
}

/// Everything acknowledged that had to be applied is durable.
fn check_acknowledged(history: &[Transaction], receiver: &Receiver, acknowledged: Lsn) {
    let needed: Vec<u64> = history
        .iter()
        .filter(|t| t.end <= acknowledged)
        .flat_map(|t| t.rows.iter().copied())
        .collect();
    assert!(receiver.rows.starts_with(&needed), "acknowledged {acknowledged} beyond durable");
}

/// What is durable is a prefix of what must be, in whole transactions.
fn check_prefix(history: &[Transaction], receiver: &Receiver) {
    let upto = history.iter().filter(|t| t.lsn <= receiver.resume.position);
    let expected: Vec<u64> = upto.flat_map(|t| t.rows.iter().copied()).collect();
    assert_eq!(receiver.rows, expected);
}

fn play(kinds: &[Kind], open: bool, limits: Limits, actions: &[Action]) {
    let history = history(kinds, open);
    let mut receiver = Receiver::new(open);
    let mut acknowledged = Lsn::ZERO;
    let mut session = Session::start(&history, &receiver, acknowledged, limits);
    for action in actions {
        match action {
            Action::Feed(events) => session.feed(*events).unwrap(),
            Action::Step(steps) => {
                for _ in 0..*steps {
                    if !session.step(&mut receiver) {
                        break;
                    }
                    check_prefix(&history, &receiver);
                }
            }
            Action::Acknowledge => {
                acknowledged = acknowledged.max(session.relay.acknowledgeable());
                check_acknowledged(&history, &receiver, acknowledged);
            }
            Action::Crash => {
                session = Session::start(&history, &receiver, acknowledged, limits);
            }
        }
    }
    session.feed(usize::MAX).unwrap();
    while session.step(&mut receiver) {}
    let expected: Vec<u64> = history.iter().flat_map(|t| t.rows.iter().copied()).collect();
    assert_eq!(receiver.rows, expected);
    assert_eq!(session.relay.buffered_bytes(), 0);
    // With everything durable the sender can let go of everything, and be shut down.
    let end = history.last().map_or(Lsn::ZERO, |t| Lsn(t.end.0 + BETWEEN));
    // Where nothing was left to be sent, the last keepalive is all that comes.
    session.relay.handle_keepalive(end);
    assert_eq!(acknowledged.max(session.relay.acknowledgeable()), end);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]
    #[test]
    fn every_row_exactly_once_whatever_dies(
        kinds in proptest::collection::vec(kind(), 0..40),
        open in any::<bool>(),
        limits in limits(),
        actions in proptest::collection::vec(action(), 0..80),
    ) {
        play(&kinds, open, limits, &actions);
    }
}
