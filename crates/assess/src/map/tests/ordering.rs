use super::*;

#[test]
fn small_first_front_door_after_the_parts_data_after_its_users() {
    let mut found = system(
        &["edge", "web", "api", "cron", "mailer"],
        &["orders", "reports"],
        &[
            ("edge", "web"),
            ("web", "api"),
            ("api", "orders"),
            ("api", "mailer"),
            ("cron", "reports"),
        ],
    );
    found.components[0].traits.insert(Trait::FacesClients);
    let map = build(&found);
    assert_eq!(
        order_text(&map),
        "1 cron | 1 web | 2 api | 2 reports | 3 mailer | 3 orders | 4 edge"
    );
    let why: Vec<String> =
        map.order.iter().map(|place| format!("{}: {}", place.members[0].0, place.why)).collect();
    insta::assert_snapshot!(why.join("\n"));
}

#[test]
fn a_circle_is_shown_and_moves_together() {
    let map = build(&system(
        &["a", "b", "c", "d"],
        &[],
        &[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")],
    ));
    assert_eq!(map.cycles.len(), 1);
    assert_eq!(order_text(&map), "1 d | 2 a+b+c");
    assert_eq!(map.edges.iter().filter(|edge| edge.in_cycle).count(), 3);
}

#[test]
fn users_of_one_database_move_together_and_users_of_two_do_not() {
    let shared = build(&system(&["api", "worker"], &["db"], &[("api", "db"), ("worker", "db")]));
    assert_eq!(order_text(&shared), "1 api+worker+db");
    assert!(shared.together[0].why[0].contains("share the database db"));

    let mut apart = system(&["api", "worker"], &["db"], &[("api", "db"), ("worker", "db")]);
    apart.links[0].database = Some("orders".to_owned());
    apart.links[1].database = Some("jobs".to_owned());
    assert_eq!(order_text(&build(&apart)), "1 api | 1 worker | 2 db");

    // Who names no database may use any: unknown is not apart.
    apart.links[1].database = None;
    assert_eq!(order_text(&build(&apart)), "1 api+worker+db");
}

#[test]
fn a_circle_that_only_grouping_closes_is_taken_in() {
    let map = build(&system(
        &["api", "worker", "mailer"],
        &["db"],
        &[("api", "db"), ("worker", "db"), ("api", "mailer"), ("mailer", "worker")],
    ));
    assert!(map.cycles.is_empty());
    assert_eq!(order_text(&map), "1 api+mailer+worker+db");
}

#[test]
fn what_belongs_to_others_has_no_place() {
    let mut found = system(&["api"], &[], &[]);
    found.components.push(component("stripe", Kind::ThirdParty, 2));
    found.links.push(link("api", "stripe"));
    assert_eq!(order_text(&build(&found)), "1 api");
}

proptest! {
    /// Every component of ours has exactly one place, and what keeps data comes after everything
    /// that uses it.
    #[test]
    fn everything_moves_once_and_data_follows_its_users(
        edges in proptest::collection::vec((0usize..8, 0usize..8), 0..24),
        entry in 0usize..8,
    ) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let links: Vec<(&str, &str)> =
            edges.iter().map(|(from, to)| (names[*from], names[*to])).collect();
        let mut found = system(&names[..6], &names[6..], &links);
        found.components[entry].traits.insert(Trait::FacesClients);
        let map = build(&found);
        let placed: Vec<&NodeId> = map.order.iter().flat_map(|p| &p.members).collect();
        let unique: BTreeSet<&NodeId> = placed.iter().copied().collect();
        prop_assert_eq!(placed.len(), 8);
        prop_assert_eq!(unique.len(), 8);
        let place = |id: &NodeId| map.order.iter().position(|p| p.members.contains(id)).unwrap();
        for edge in &map.edges {
            if map.node(&edge.to).unwrap().is_stateful() {
                prop_assert!(place(&edge.from) <= place(&edge.to), "{}", order_text(&map));
            }
        }
        prop_assert!(map.order.is_sorted_by_key(|place| place.wave));
    }
}
