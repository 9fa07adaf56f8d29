use changeover_types::{PathRule, RouteRule};
use proptest::prelude::*;

use super::*;
use crate::Reading;

fn number(epoch: u64, sequence: u64) -> OrderNumber {
    OrderNumber { epoch: Epoch(epoch), sequence }
}

fn route(authority: Side, epoch: u64) -> Route {
    Route { target_permille: 0, authority, authority_epoch: Epoch(epoch) }
}

fn ms(at: u64) -> Tick {
    Tick(at * 1000)
}

/// A gate that holds until 100 ms, with the seal of epoch 2 announced.
fn sealing() -> Router {
    let saved = Saved { route: Some(route(Side::Source, 1)), ..Saved::default() };
    let mut router = Router::start(saved, RouteTable::default(), false);
    let hold = Order::Hold { number: number(2, 1), budget_ms: 100 };
    router.handle_order(&hold, ms(0)).unwrap();
    let seal = Order::Sealing { number: number(2, 2), epoch: Epoch(2), from: Side::Source };
    router.handle_order(&seal, ms(1)).unwrap();
    router
}

#[test]
fn a_fresh_gate_serves_the_source_unless_it_must_prove_it() {
    let fresh = Router::start(Saved::default(), RouteTable::default(), false);
    assert_eq!((fresh.view(), fresh.route()), (HoldView::Open, Some(route(Side::Source, 0))));
    let mut careful = Router::start(Saved::default(), RouteTable::default(), true);
    assert_eq!((careful.view(), careful.route()), (HoldView::Unsure, None));
    let release = Order::Release { number: number(1, 1) };
    assert_eq!(careful.handle_order(&release, ms(0)), Err(Refusal::NoRoute));
    let nothing = Readings { source: Reading::NoRow, target: Reading::NoRow };
    assert!(careful.handle_authority(nothing, ms(0)));
    assert_eq!((careful.view(), careful.route()), (HoldView::Open, Some(route(Side::Source, 0))));
}

#[test]
fn a_plain_hold_lapses_open_and_cannot_be_renewed_then() {
    let mut router = Router::start(Saved::default(), RouteTable::default(), false);
    let hold = Order::Hold { number: number(1, 1), budget_ms: 100 };
    assert!(router.handle_order(&hold, ms(5)).unwrap().hold_began);
    assert_eq!(router.wake(), Some(ms(105)));
    let renew = Order::Renew { number: number(1, 2), budget_ms: 50 };
    router.handle_order(&renew, ms(100)).unwrap();
    assert_eq!(router.poll(ms(149)), None);
    let late = Order::Renew { number: number(1, 3), budget_ms: 50 };
    assert_eq!(router.handle_order(&late, ms(150)), Err(Refusal::NotHeld));
    assert_eq!((router.view(), router.lapsed()), (HoldView::Open, 1));
    assert_eq!(router.obeyed(), number(1, 2));
}

#[test]
fn after_a_seal_was_announced_only_proof_or_the_run_opens() {
    let mut router = sealing();
    assert_eq!(router.poll(ms(100)), Some(Lapse::Unsure));
    let sealed = Reading::Row { epoch: Epoch(2), authority: None };
    let old = Reading::Row { epoch: Epoch(1), authority: Some(Side::Source) };
    let granted = Reading::Row { epoch: Epoch(2), authority: Some(Side::Target) };
    for target in [old, Reading::Unreachable] {
        assert!(!router.handle_authority(Readings { source: sealed, target }, ms(101)));
        assert_eq!(router.view(), HoldView::Unsure);
    }
    assert!(router.handle_authority(Readings { source: sealed, target: granted }, ms(102)));
    assert_eq!((router.view(), router.route()), (HoldView::Open, Some(route(Side::Target, 2))));
    assert_eq!(router.saved().sealing, None);
}

#[test]
fn a_call_off_releases_along_the_old_route() {
    let mut router = sealing();
    router.handle_order(&Order::Release { number: number(2, 3) }, ms(50)).unwrap();
    assert_eq!((router.view(), router.route()), (HoldView::Open, Some(route(Side::Source, 1))));
}

#[test]
fn a_gate_that_died_while_sealing_comes_back_unsure() {
    let revived = Router::start(sealing().saved(), RouteTable::default(), false);
    assert_eq!(revived.view(), HoldView::Unsure);
    assert_eq!(revived.obeyed(), number(2, 2));
}

#[test]
fn a_new_hold_after_such_a_lapse_does_not_forget_the_seal() {
    let mut router = sealing();
    router.poll(ms(100));
    let hold = Order::Hold { number: number(2, 3), budget_ms: 10 };
    router.handle_order(&hold, ms(110)).unwrap();
    assert_eq!(router.poll(ms(120)), Some(Lapse::Unsure));
}

#[test]
fn a_seal_must_fit_the_route() {
    let mut router = Router::start(Saved::default(), RouteTable::default(), false);
    let seal = |sequence, epoch, from| Order::Sealing {
        number: number(1, sequence),
        epoch: Epoch(epoch),
        from,
    };
    assert_eq!(router.handle_order(&seal(1, 1, Side::Source), ms(0)), Err(Refusal::NotHeld));
    let hold = Order::Hold { number: number(1, 2), budget_ms: 10 };
    router.handle_order(&hold, ms(0)).unwrap();
    for (epoch, from) in [(1, Side::Target), (0, Side::Source)] {
        let refused = router.handle_order(&seal(3, epoch, from), ms(0));
        assert_eq!(refused, Err(Refusal::WrongSeal { epoch: Epoch(epoch), from }));
    }
    router.handle_order(&seal(3, 1, Side::Source), ms(0)).unwrap();
}

/// After a rollback to the source in epoch 3 and an abort, the next migration starts at 1.
#[test]
fn a_new_migration_counts_from_one_again_once_the_old_one_is_over() {
    let (obeyed, split) = (number(4, 2), Split::default());
    let saved = Saved { obeyed, route: Some(route(Side::Source, 3)), split, sealing: None };
    let genesis = Reading::Row { epoch: Epoch(1), authority: Some(Side::Source) };
    let genesis = Readings { source: genesis, target: genesis };
    let mut router = Router::start(saved.clone(), RouteTable::default(), true);
    assert!(!router.handle_authority(genesis, ms(0)), "older than what was obeyed");
    assert!(router.handle_order(&Order::Anew, ms(0)).unwrap().save);
    assert_eq!(router.view(), HoldView::Unsure, "nothing is opened by it");
    assert!(router.handle_authority(genesis, ms(0)));
    assert_eq!(router.route(), Some(route(Side::Source, 1)));
    let (number_1, route_1) = (number(1, 1), route(Side::Source, 1));
    let weight = Order::Route { number: number_1, route: route_1, split: Split::default() };
    router.handle_order(&weight, ms(0)).unwrap();

    let hold = Order::Hold { number: number(2, 1), budget_ms: 100 };
    router.handle_order(&hold, ms(0)).unwrap();
    assert_eq!(router.handle_order(&Order::Anew, ms(1)), Err(Refusal::NotOver));
    assert_eq!(sealing().handle_order(&Order::Anew, ms(200)), Err(Refusal::NotOver));
    let moved = Saved { route: Some(route(Side::Target, 2)), ..saved };
    let refused =
        Router::start(moved, RouteTable::default(), false).handle_order(&Order::Anew, ms(0));
    assert_eq!(refused, Err(Refusal::NotOver));
}

/// What a gate of before routes wrote is what a gate without routes writes, to the byte.
#[test]
fn a_saved_state_without_routes_is_as_it_always_was() {
    let old = r#"{"obeyed":{"epoch":4,"sequence":2},"route":{"target_permille":250,"authority":"source","authority_epoch":1},"sealing":null}"#;
    let saved: Saved = serde_json::from_str(old).unwrap();
    assert!(saved.split.is_plain());
    assert_eq!(serde_json::to_string(&saved).unwrap(), old);
    let order = r#"{"do":"route","number":{"epoch":1,"sequence":1},"route":{"target_permille":0,"authority":"source","authority_epoch":1}}"#;
    let read: Order = serde_json::from_str(order).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), order);
}

#[test]
fn a_route_of_its_own_share_keeps_it_when_the_others_move() {
    let (name, salt) = (|text| RouteName::new(text).unwrap(), 9);
    let own = Share { target_permille: 500, salt };
    let mut router = Router::start(Saved::default(), table(), false);
    let order = |router: &mut Router, sequence, permille, split: &Split| {
        let route = Route { target_permille: permille, ..route(Side::Source, 0) };
        let order = Order::Route { number: number(1, sequence), route, split: split.clone() };
        router.handle_order(&order, ms(0))
    };
    assert_eq!(router.canary(), None);
    let mut split = Split { salt: 0, own: [(name("b"), own)].into() };
    order(&mut router, 1, 0, &split).unwrap();
    let none = Share::default();
    assert_eq!((router.shares(), router.canary()), (vec![none, own, none], Some(salt)));
    let common = Share { target_permille: 100, salt: 10 };
    split.salt = 10;
    order(&mut router, 2, 100, &split).unwrap();
    assert_eq!((router.shares(), router.canary()), (vec![common, own, common], Some(10)));
    split.own.insert(name("gone"), own);
    let refused = order(&mut router, 3, 100, &split);
    assert_eq!(refused, Err(Refusal::UnknownRoute(name("gone"))));
    // What a restarted gate finds of a route that it does not have any more, it keeps.
    let saved = Saved { split, ..router.saved() };
    let revived = Router::start(saved.clone(), RouteTable::default(), false);
    assert_eq!((revived.shares(), revived.saved()), (vec![common], saved));
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Source), Just(Side::Target)]
}

fn table() -> RouteTable {
    let rule = |name| RouteRule {
        name: RouteName::new(name).unwrap(),
        host: None,
        methods: Vec::new(),
        paths: vec![PathRule::new("/x/").unwrap()],
    };
    RouteTable::new(vec![rule("a"), rule("b")])
}

/// Among the routes is one that the gate does not have.
fn split() -> impl Strategy<Value = Split> {
    let name = prop_oneof![Just("a"), Just("b"), Just("rest"), Just("c")];
    let share =
        (0_u16..1100, 0_u64..3).prop_map(|(target_permille, salt)| Share { target_permille, salt });
    let own = proptest::collection::btree_map(name, share, 0..3);
    (0_u64..3, own).prop_map(|(salt, own)| Split {
        salt,
        own: own.into_iter().map(|(name, share)| (RouteName::new(name).unwrap(), share)).collect(),
    })
}

fn order() -> impl Strategy<Value = Order> {
    let number = (0_u64..4, 0_u64..6).prop_map(|(e, s)| number(e, s));
    (number, 0_u8..7, 0_u64..40, 0_u64..4, side(), 0_u16..1100, split()).prop_map(
        |(number, kind, budget_ms, epoch, side, target_permille, split)| match kind {
            0 => Order::Status,
            1 => Order::Hold { number, budget_ms },
            2 => Order::Renew { number, budget_ms },
            3 => Order::Sealing { number, epoch: Epoch(epoch), from: side },
            4 => Order::Release { number },
            5 => Order::Prepare { within_ms: budget_ms },
            _ => {
                let route =
                    Route { target_permille, authority: side, authority_epoch: Epoch(epoch) };
                Order::Route { number, route, split }
            }
        },
    )
}

fn number_of(order: &Order) -> Option<OrderNumber> {
    match order {
        Order::Status
        | Order::Metrics
        | Order::Decided { .. }
        | Order::Prepare { .. }
        | Order::Mirror(_)
        | Order::MirrorStop { .. }
        | Order::Anew => None,
        Order::Route { number, .. }
        | Order::Hold { number, .. }
        | Order::Renew { number, .. }
        | Order::Sealing { number, .. }
        | Order::Release { number } => Some(*number),
    }
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        Just(Reading::Unreachable),
        Just(Reading::NoRow),
        (0_u64..4, proptest::option::of(side()))
            .prop_map(|(epoch, authority)| Reading::Row { epoch: Epoch(epoch), authority }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_rules_hold_for_any_orders(
        steps in proptest::collection::vec((order(), 0_u64..30, reading(), reading()), 1..40),
        prove in any::<bool>(),
    ) {
        let mut router = Router::start(Saved::default(), table(), prove);
        let mut now = Tick::default();
        for (order, wait, source, target) in steps {
            now = now.after(Duration::from_millis(wait));
            let mut before = router.clone();
            before.poll(now);
            let outcome = router.handle_order(&order, now);
            match (number_of(&order), outcome) {
                (Some(number), Ok(effects)) => {
                    prop_assert!(number > before.obeyed() && router.obeyed() == number);
                    prop_assert!(effects.save);
                }
                (Some(_), Err(_)) | (None, _) => prop_assert_eq!(&router, &before),
            }
            if let (Some(was), Some(is)) = (before.route(), router.route()) {
                prop_assert!(is.authority_epoch >= was.authority_epoch);
                let same_epoch = is.authority_epoch == was.authority_epoch;
                prop_assert!(!same_epoch || is.authority == was.authority);
                prop_assert!(is.target_permille <= PERMILLE_ALL);
            }
            prop_assert!(router.shares().iter().all(|it| it.target_permille <= PERMILLE_ALL));
            prop_assert_eq!(router.table().missing(router.split()), None);
            // Only a release opens: a lapse is time's doing and was applied to `before` too.
            let opened = router.view() == HoldView::Open && before.view() != HoldView::Open;
            let released = matches!(order, Order::Release { .. });
            prop_assert!(!opened || released);
            let was = router.clone();
            let resolved = router.handle_authority(Readings { source, target }, now);
            prop_assert!(!resolved || was.view() == HoldView::Unsure);
            prop_assert!(resolved || router == was);
            // An open gate knows where to go, and a saved one comes back no wiser than it was.
            prop_assert!(router.view() != HoldView::Open || router.route().is_some());
            let revived = Router::start(router.saved(), table(), prove);
            prop_assert_eq!(revived.obeyed(), router.obeyed());
            prop_assert_eq!(revived.split(), router.split());
            prop_assert!(router.saved().sealing.is_none() || revived.view() == HoldView::Unsure);
        }
    }
}
