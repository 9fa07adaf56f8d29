//! The program's schema and reader in step, as for plans.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::tests::{add_with_parents, as_json, keys, knows};
use crate::node;
use crate::program::{Unloaded, keys_asked, parse_program};
use crate::reader::Reader;

const EVERY_KEY: &str = include_str!("every-program-key.yaml");
const SHOP: &str = include_str!("../../../../examples/programs/shop.yaml");

pub(super) fn parsed() -> Value {
    serde_json::from_str(super::program_schema()).unwrap()
}

/// The plans of the programs below.
fn load(file: &Path) -> Result<crate::Plan, Unloaded> {
    let name = file.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
    let text = format!(
        "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: {name}}}\n\
         source: {{postgres: {{url: {{env: OLD_{name}}}}}}}\n\
         target: {{postgres: {{url: {{env: NEW_{name}}}}}}}\n\
         phases: [{{name: copy, steps: [replicate]}}, {{name: canary, steps: [cutover]}}, \
         {{name: check, steps: [verify]}}]\n"
    );
    crate::parse(name, &text).map_err(Unloaded::Faulty)
}

/// Every key that the reader asks for; a component's name is the user's own word.
fn asked() -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    for path in [EVERY_KEY, SHOP].iter().flat_map(|text| keys_asked(text, &mut load)) {
        let mut parts: Vec<&str> = path.split('.').collect();
        if parts.len() > 1 && parts[0] == "components" {
            parts[1] = "*";
        }
        add_with_parents(&parts.join("."), &mut asked);
    }
    asked
}

#[test]
fn the_keys_of_schema_and_reader_are_the_same() {
    let schema = parsed();
    let asked = asked();
    assert!(asked.contains("phases[].steps[].soak.for"), "nothing was recorded: {asked:?}");
    let missing: Vec<&String> = asked.iter().filter(|path| !knows(&schema, path)).collect();
    assert!(missing.is_empty(), "program.schema.json lacks {missing:#?}");
    let mut known = BTreeSet::new();
    keys(&schema, &schema, "", &mut Vec::new(), &mut known);
    let missing: Vec<&String> = known.difference(&asked).collect();
    assert!(missing.is_empty(), "the reader, or every-program-key.yaml, lacks {missing:#?}");
}

#[test]
fn programs_are_sound_for_both_and_so_is_what_is_not() {
    let schema = parsed();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let tree = |text: &str| as_json(&node::build(text, &mut Reader::default()).unwrap());
    for text in [EVERY_KEY, SHOP] {
        if let Err(faults) = parse_program("program.yaml", text, &mut load) {
            panic!("{faults}");
        }
        let value = tree(text);
        let faults: Vec<String> = validator
            .iter_errors(&value)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
    let refused = |pointer: &str, value: Value| {
        let mut program = tree(EVERY_KEY);
        *program.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&program), "{pointer}");
    };
    refused("/on_fail", json!("abort"));
    refused("/components/users", json!({"plan": {"kind": "Migration"}}));
    refused("/phases/0/steps/0", json!({"prepare": "all", "move": "users"}));
    refused("/phases/1/steps", json!([]));
    refused("/together/0/atomic", json!(true));
}

/// What both files have is the same in both.
#[test]
fn what_a_program_shares_with_a_plan_is_said_once() {
    let (plan, program): (Value, Value) =
        (serde_json::from_str(super::schema()).unwrap(), parsed());
    for shared in ["duration", "name", "metadata", "outcome", "window", "approve"] {
        assert_eq!(plan["$defs"][shared], program["$defs"][shared], "{shared}");
    }
}
