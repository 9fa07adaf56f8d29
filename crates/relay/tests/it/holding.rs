//! Holding for an aligned comparison, alarms, and what a broken stream is told.

use changeover_relay::{Limits, Relay, RelayError, Resume, Step, Work};
use changeover_types::{Epoch, Lsn, Marker, RelationId, SignalKind, StreamEvent};
use proptest::prelude::*;

use crate::world::{Kind, Receiver, Session, announcements, config, history};

fn relay(open: bool, kinds: &[Kind]) -> Relay {
    let resume = Resume { position: Lsn::ZERO, open, epoch: Epoch(1) };
    let mut relay = Relay::new(config(Limits::default()), resume);
    let events = history(kinds, open).into_iter().flat_map(|t| t.events);
    announcements().into_iter().chain(events).for_each(|event| relay.handle(event).unwrap());
    relay
}

fn steps(relay: &mut Relay) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = relay.poll() {
        if let Step::Close { position, .. } = step {
            relay.handle_durable(position);
        }
        steps.push(step);
    }
    steps
}

#[test]
fn small_transactions_share_a_batch_and_a_marker_ends_it() {
    let kinds = [Kind::Data(1), Kind::Data(2), Kind::Heartbeat, Kind::Data(1)];
    let steps = steps(&mut relay(true, &kinds));
    let closes: Vec<(u64, u64, usize)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Close { transactions, changes, markers, .. } => {
                Some((*transactions, *changes, markers.len()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(closes, [(3, 3, 1), (1, 1, 0)]);
}

#[test]
fn a_closed_segment_tells_what_it_sees() {
    let mut relay = relay(true, &[Kind::Turn, Kind::Ours(2), Kind::Heartbeat, Kind::Data(1)]);
    let steps = steps(&mut relay);
    let heartbeat = Marker::Signal { kind: SignalKind::Heartbeat, epoch: Epoch(0), nonce: 0 };
    assert!(matches!(steps[0], Step::Open { open: false, epoch: Epoch(2), .. }));
    assert!(matches!(steps[1], Step::Close { .. }));
    assert_eq!(steps[2], Step::Discarded { commit_lsn: Lsn(1_020), markers: vec![heartbeat] });
    assert!(matches!(
        &steps[3],
        Step::Foreign { commit_lsn: Lsn(1_030), after_seal: true, table, .. } if table.name == "t"
    ));
    assert_eq!(relay.counters().foreign, 1);
    assert_eq!(relay.acknowledgeable(), Lsn(1_035));
}

#[test]
fn a_big_transaction_streams_through_in_parts() {
    let resume = Resume { position: Lsn::ZERO, open: true, epoch: Epoch(1) };
    let limits = Limits { max_batch_changes: 10, max_batch_bytes: 4_000, max_open_bytes: 4_000 };
    let mut relay = Relay::new(config(limits), resume);
    announcements().into_iter().for_each(|event| relay.handle(event).unwrap());
    let mut rows = 0;
    let mut most = 0;
    let big = history(&[Kind::Data(10_000)], true).remove(0);
    for event in big.events {
        relay.handle(event).unwrap();
        most = most.max(relay.buffered_bytes());
        while let Some(step) = relay.poll() {
            if let Step::Changes(work) = step {
                rows += work.iter().filter(|w| matches!(w, Work::Row { .. })).count();
            }
        }
    }
    assert_eq!(rows, 10_000);
    assert!(most < 8_000, "{most} bytes were held");
}

#[test]
fn a_broken_stream_is_refused() {
    let resume = Resume { position: Lsn::ZERO, open: true, epoch: Epoch(1) };
    let fresh = || Relay::new(config(Limits::default()), resume);
    let history = history(&[Kind::Data(1), Kind::Data(1)], true);
    let mut relay = fresh();
    relay.handle(history[0].events[0].clone()).unwrap();
    assert_eq!(
        relay.handle(history[0].events[1].clone()),
        Err(RelayError::UnknownRelation(RelationId(1).0))
    );
    let mut relay = fresh();
    let backwards = [&history[1].events[0], &history[1].events[2], &history[0].events[0]];
    let outcome = backwards.into_iter().try_for_each(|event| relay.handle(event.clone()));
    assert!(matches!(outcome, Err(RelayError::Order { .. })));
    let lost = StreamEvent::Commit { commit_lsn: Lsn(1), end_lsn: Lsn(2) };
    assert!(matches!(fresh().handle(lost), Err(RelayError::Framing { .. })));
    // A stale epoch: two seals of the same number.
    let mut relay = fresh();
    announcements().into_iter().for_each(|event| relay.handle(event).unwrap());
    let turn = |n: u64| {
        let mut events = crate::world::history(&[Kind::Turn], true).remove(0).events;
        let (commit_lsn, end_lsn) = (Lsn(n), Lsn(n + 1));
        events[0] = StreamEvent::Begin { commit_lsn, commit_time_us: 0, xid: 1 };
        events[2] = StreamEvent::Commit { commit_lsn, end_lsn };
        events
    };
    turn(10).into_iter().for_each(|event| relay.handle(event).unwrap());
    let outcome = turn(20).into_iter().try_for_each(|event| relay.handle(event));
    assert!(matches!(outcome, Err(RelayError::StaleEpoch { .. })));
}

proptest! {
    /// Wherever the limit lies: all before it is applied, nothing of the rest, and it is only
    /// said to be reached once a transaction behind it proves that nothing is missing.
    #[test]
    fn a_hold_stops_exactly_before_its_limit(
        sizes in proptest::collection::vec(0_usize..60, 1..20),
        limit in 0_u64..1_250,
        chunk in 1_usize..30,
        max_open in 300_usize..6_000,
    ) {
        let kinds: Vec<Kind> = sizes.iter().map(|n| Kind::Data(*n)).collect();
        let history = history(&kinds, true);
        let limits = Limits { max_batch_changes: 7, max_batch_bytes: 2_000, max_open_bytes: max_open };
        let mut receiver = Receiver::new(true);
        let mut session = Session::start(&history, &receiver, Lsn::ZERO, limits);
        session.relay.hold_before(Some(Lsn(limit)));
        while !session.inbox.as_slice().is_empty() {
            session.feed(chunk).unwrap();
            while session.step(&mut receiver) {}
        }
        let before = |t: &&crate::world::Transaction| t.lsn < Lsn(limit);
        let expected: Vec<u64> =
            history.iter().filter(before).flat_map(|t| t.rows.clone()).collect();
        prop_assert_eq!(&receiver.rows, &expected);
        session.relay.hold_before(None);
        while session.step(&mut receiver) {}
        let all: Vec<u64> = history.iter().flat_map(|t| t.rows.clone()).collect();
        prop_assert_eq!(&receiver.rows, &all);
    }
}

#[test]
fn reached_is_said_once_and_only_with_proof() {
    let mut relay = relay(true, &[Kind::Data(1), Kind::Data(1)]);
    relay.hold_before(Some(Lsn(5_000)));
    assert!(!steps(&mut relay).iter().any(|s| matches!(s, Step::Reached { .. })));
    let late = StreamEvent::Begin { commit_lsn: Lsn(5_000), commit_time_us: 0, xid: 1 };
    relay.handle(late).unwrap();
    assert_eq!(relay.poll(), Some(Step::Reached { limit: Lsn(5_000), position: Lsn(1_010) }));
    assert_eq!(relay.poll(), None);
    relay.hold_before(Some(Lsn::ZERO));
    assert!(matches!(relay.poll(), Some(Step::Reached { limit: Lsn::ZERO, .. })));
}

/// P5: there is nothing to be durable between what is and a keepalive, unless something is pending.
#[test]
fn a_keepalive_is_confirmed_while_nothing_is_pending() {
    let history = history(&[Kind::Data(1), Kind::Data(2)], true);
    let mut receiver = Receiver::new(true);
    let mut relay = Relay::new(config(Limits::default()), receiver.resume);
    relay.handle_keepalive(Lsn(900));
    assert_eq!(relay.acknowledgeable(), Lsn(900), "nothing came, nothing is pending");
    for event in announcements().into_iter().chain(history[0].events.clone()) {
        relay.handle(event).unwrap();
    }
    relay.handle_keepalive(Lsn(1_008));
    assert_eq!(relay.acknowledgeable(), Lsn::ZERO, "received, not applied");
    while let Some(step) = relay.poll() {
        assert_eq!(relay.acknowledgeable(), Lsn::ZERO, "handed out, not durable: {step:?}");
        if let Step::Close { position, .. } = step {
            relay.handle_durable(position);
        }
    }
    assert_eq!(relay.acknowledgeable(), Lsn(1_008));
    // In the middle of a transaction nothing is said of what is behind its beginning.
    relay.handle(history[1].events[0].clone()).unwrap();
    relay.handle_keepalive(Lsn(2_000));
    assert_eq!(relay.acknowledgeable(), Lsn(1_008));
    receiver.resume = Resume { position: history[0].lsn, open: true, epoch: Epoch(1) };
    // One that was durable before counts as soon as it is passed over.
    let mut relay = Relay::new(config(Limits::default()), receiver.resume);
    for event in announcements().into_iter().chain(history[0].events.clone()) {
        relay.handle(event).unwrap();
    }
    assert!(relay.poll().is_none());
    assert_eq!(relay.acknowledgeable(), history[0].end);
}
