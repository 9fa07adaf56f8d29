use super::*;
use crate::type_numbers::facts::TYPES;

fn number(name: &str, oid: u32) -> Number {
    Number { schema: "public".to_owned(), name: name.to_owned(), oid }
}

fn creation(name: &str, first: u32, numbers: &[(&str, u32)], needs: &[u32]) -> Creation {
    Creation {
        kind: Kind::Enum,
        catalog_oid: TYPES,
        oid: numbers.last().unwrap().1,
        schema: "public".to_owned(),
        name: name.to_owned(),
        schema_oid: 2200,
        first,
        last: numbers.iter().map(|(_, oid)| *oid).max().unwrap(),
        numbers: numbers.iter().map(|(name, oid)| number(name, *oid)).collect(),
        needs: needs.iter().map(|oid| Need::Creation(TYPES, *oid)).collect(),
    }
}

fn enumeration(name: &str, first: u32, needs: &[u32]) -> Creation {
    creation(name, first, &[("_e", first), (name, first + 1)], needs)
}

fn planned(creations: &[Creation], next: u32, budget: u64) -> Placing {
    let shapes: Vec<Shape> = creations.iter().map(Shape::of).collect();
    let none = BTreeSet::new();
    let there = BTreeSet::new();
    plan(creations, &shapes, &Conditions { next, budget, taken: &none, there: &there })
}

fn starts(placing: &Placing) -> Vec<u32> {
    placing.placements.iter().map(|placement| placement.start).collect()
}

#[test]
fn types_are_placed_in_the_order_of_their_numbers() {
    let creations = [enumeration("b", 30_000, &[20_001]), enumeration("a", 20_000, &[])];
    let placing = planned(&creations, 17_000, 20_000);
    assert_eq!(starts(&placing), [20_000, 30_000]);
    assert_eq!((placing.placed, placing.burnt), (4, 3000 + 9998));
    assert_eq!(placing.missed, []);
}

#[test]
fn what_is_past_or_too_far_says_so() {
    let creations = [enumeration("a", 17_000, &[]), enumeration("b", 30_000, &[])];
    let placing = planned(&creations, 17_001, 20_000);
    assert_eq!(starts(&placing), [30_000]);
    assert!(placing.missed[0].why.contains("past 17000"), "{:?}", placing.missed);
    let placing = planned(&creations, 16_500, 1000);
    assert_eq!(starts(&placing), [17_000]);
    assert!(placing.missed[0].why.contains("the budget of 1000"), "{:?}", placing.missed);
    // With a budget for the whole round even what is past is reached.
    let placing = planned(&creations, 17_001, u64::MAX);
    assert_eq!(starts(&placing), [30_000, 17_000]);
    assert!(placing.burnt < ROUND);
}

#[test]
fn what_rests_on_a_higher_number_is_left() {
    let creations = [enumeration("a", 20_000, &[30_001]), enumeration("b", 30_000, &[])];
    let placing = planned(&creations, 17_000, 20_000);
    assert_eq!(starts(&placing), [30_000]);
    assert!(placing.missed[0].why.contains("rests on public.b"), "{:?}", placing.missed);
}

#[test]
fn a_type_that_is_numbered_otherwise_goes_before_its_array() {
    // Source: array, type. Target: array, two more, type.
    let range = creation("r", 20_000, &[("_r", 20_000), ("r", 20_001)], &[]);
    let shapes = [Shape { offsets: vec![Some(0), Some(3)], span: 8 }];
    let (taken, there) = (BTreeSet::new(), BTreeSet::new());
    let mut conditions = Conditions { next: 17_000, budget: 20_000, taken: &taken, there: &there };
    let placing = plan(std::slice::from_ref(&range), &shapes, &conditions);
    assert_eq!(starts(&placing), [19_998]);
    assert_eq!((placing.placed, placing.missed[0].numbers[0].name.as_str()), (1, "_r"));
    let taken = BTreeSet::from([20_001]);
    conditions.taken = &taken;
    let placing = plan(&[range], &shapes, &conditions);
    assert_eq!(placing.placements, []);
}

#[test]
fn distances_go_around() {
    assert_eq!(distance(20_000, 20_000), 0);
    assert_eq!(distance(20_000, 20_005), 5);
    assert_eq!(distance(u32::MAX, 16_384), 1);
    assert_eq!(distance(20_001, 20_000), ROUND - 1);
}
