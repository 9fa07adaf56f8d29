use super::*;

fn ids(map: &Map) -> Vec<&str> {
    map.nodes.iter().map(|node| node.id.0.as_str()).collect()
}

#[test]
fn sightings_that_share_a_name_are_one_component() {
    let mut found = system(&["api"], &[], &[]);
    let mut terraform = component("aws_db_instance.orders", Kind::Database, 9);
    terraform.names = BTreeSet::from([Name::address("", "10.0.0.5", Some(5432))]);
    let mut alias = component("orders", Kind::Database, 8);
    alias.names.insert(Name::address("", "db.example.com", Some(5432)));
    // Only this third sighting shows that the two are one.
    let mut bridge = component("pg", Kind::Database, 7);
    bridge.names = BTreeSet::from([
        Name::address("", "10.0.0.5", Some(5432)),
        Name::address("", "DB.example.com.", Some(5432)),
    ]);
    found.components.extend([terraform, alias, bridge]);
    let map = build(&found);
    assert_eq!(ids(&map), ["api", "pg"]);
    assert_eq!(map.nodes[1].addresses, ["10.0.0.5:5432", "db.example.com:5432", "orders"]);
    assert_eq!(map.nodes[1].evidence.len(), 3);
}

#[test]
fn a_link_finds_its_end_by_port_then_by_name_then_makes_one() {
    let mut found = system(&["api"], &["db"], &[]);
    let mut other = component("box", Kind::Host, 4);
    other.names = BTreeSet::from([Name::address("", "10.0.0.9", None)]);
    found.components.push(other);
    for (host, port) in [
        ("db", Some(5432)),
        ("db", Some(9187)),
        ("10.0.0.9", Some(6379)),
        ("api.stripe.com", Some(443)),
    ] {
        let mut to = link("api", "db");
        to.to = Name::address("shop", host, port);
        to.assumed = Endpoint::usual_on(port.unwrap()).map(|(_, kind)| kind);
        found.links.push(to);
    }
    let map = build(&found);
    assert_eq!(ids(&map), ["10-0-0-9-6379", "api", "api-stripe-com", "box", "db"]);
    let kind = |id: &str| map.node(&NodeId(id.to_owned())).unwrap().kind;
    assert_eq!(kind("10-0-0-9-6379"), Kind::Cache, "a machine is not what listens on it");
    assert_eq!(kind("api-stripe-com"), Kind::ThirdParty);
    let edges: Vec<String> = map
        .edges
        .iter()
        .map(|edge| {
            format!("{} {:?} {} x{}", edge.from.0, edge.relation, edge.to.0, edge.evidence.len())
        })
        .collect();
    insta::assert_snapshot!(edges.join("\n"), @r"
    10-0-0-9-6379 RunsOn box x1
    api Uses 10-0-0-9-6379 x1
    api Uses api-stripe-com x1
    api Uses db x1
    ");
}

#[test]
fn a_short_name_of_another_scope_is_found_if_there_is_only_one() {
    let mut found = system(&["api"], &[], &[]);
    let mut proxy = component("nginx", Kind::Service, 3);
    proxy.names = BTreeSet::from([Name::component("machine", "nginx")]);
    found.components.push(proxy);
    let mut pass = link("api", "api");
    pass.from = Name::component("machine", "nginx");
    pass.to = Name::address("machine", "api", Some(8080));
    found.links.push(pass);
    assert_eq!(ids(&build(&found)), ["api", "nginx"]);

    let mut twin = component("api", Kind::Service, 5);
    twin.names = BTreeSet::from([Name::component("other project", "api")]);
    found.components.push(twin);
    assert_eq!(
        ids(&build(&found)),
        ["api", "api-2", "api-8080", "nginx"],
        "unclear is not the first"
    );
}

#[test]
fn an_edge_is_observed_as_soon_as_one_place_saw_it() {
    let mut found = system(&["api"], &["db"], &[("api", "db")]);
    assert!(!build(&found).edges[0].observed);
    let mut observed = link("api", "db");
    observed.evidence = seen(at(7));
    found.links.push(observed);
    let map = build(&found);
    assert!(map.edges[0].observed);
    assert_eq!(map.edges[0].evidence.len(), 2);
}

#[test]
fn different_components_with_one_label_get_ids_of_their_own() {
    let mut found = system(&["api", "api-2"], &[], &[]);
    let mut twin = component("api", Kind::Service, 5);
    twin.names = BTreeSet::from([Name::component("other project", "api")]);
    found.components.push(twin);
    assert_eq!(ids(&build(&found)), ["api", "api-2", "api-2-2"]);
}

proptest! {
    /// The map does not depend on the order in which things were found.
    #[test]
    fn order_of_findings_does_not_matter(
        edges in proptest::collection::vec((0usize..6, 0usize..6, proptest::bool::ANY), 0..14),
        seed in proptest::collection::vec(0usize..1000, 20),
    ) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut found = system(&names[..4], &names[4..5], &[]);
        for (line, (from, to, port)) in edges.iter().enumerate() {
            let mut one = link(names[*from], names[*to]);
            one.to.port = port.then_some(80);
            one.evidence = at(line);
            found.links.push(one);
        }
        let expected = build(&found);
        let mut shuffled = found.clone();
        for (i, place) in seed.iter().enumerate() {
            if !shuffled.links.is_empty() {
                let count = shuffled.links.len();
                shuffled.links.swap(i % count, place % count);
            }
            let count = shuffled.components.len();
            shuffled.components.swap(i % count, place % count);
        }
        prop_assert_eq!(build(&shuffled), expected);
    }
}
