//! Schema and reader in step. A key that is added to one of them fails here until the other, and
//! `every-key.yaml`, have it too; the message names it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::node::{self, Node, Shape};
use crate::reader::Reader;

/// Plans that are sound. Together they must make the reader ask for every key there is.
fn corpus() -> Vec<(String, String)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.join("../..");
    let mut files = vec![
        root.join("demo/plan.yaml"),
        here.join("tests/it/design.yaml"),
        here.join("src/schema/every-key.yaml"),
    ];
    let mut folders = vec![here.join("src/template"), root.join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|it| it == "yaml" || it == "yml") {
                files.push(entry);
            }
        }
    }
    #[expect(clippy::disallowed_methods, reason = "a test reads the plans that the project has")]
    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    let texts = files.iter().map(|file| (file.display().to_string(), read(file)));
    texts
        .filter(|(_, text)| text.contains("apiVersion: changeover/"))
        // Answers and programs are files of other kinds.
        .filter(|(_, text)| text.contains("\nkind: Migration"))
        .collect()
}

fn parsed() -> Value {
    serde_json::from_str(super::schema()).unwrap()
}

/// The tree as JSON, plain numbers and truth values as YAML reads them.
pub(super) fn as_json(node: &Node) -> Value {
    match &node.shape {
        Shape::Null => Value::Null,
        Shape::Text(text) => match text.parse::<serde_json::Number>() {
            Ok(number) => json!(number),
            Err(_) if text == "true" || text == "false" => json!(text == "true"),
            Err(_) => json!(text),
        },
        Shape::List(items) => items.iter().map(as_json).collect(),
        Shape::Map(entries) => {
            let pairs = entries.iter().map(|it| (it.key.clone(), as_json(&it.value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

/// Keys that are the user's own words, like the names of headers, are one key: `*`.
fn without_own_words(path: &str) -> String {
    let mut plain = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once("[\"") {
        plain += before;
        plain += ".*";
        rest = after.split_once("\"]").map_or("", |(_, rest)| rest);
    }
    plain + rest
}

/// Every key that the reader asks for on the corpus, as paths like `phases[].steps[].soak.for`.
fn asked() -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    for (_, text) in corpus() {
        let mut reader = Reader::default();
        if let Some(root) = node::build(&text, &mut reader) {
            crate::read::plan(&root, &mut reader);
        }
        for path in &reader.asked {
            add_with_parents(&without_own_words(path), &mut asked);
        }
    }
    asked
}

/// Adds a key's path, and those of all that it lies in.
pub(super) fn add_with_parents(path: &str, asked: &mut BTreeSet<String>) {
    let mut prefix = String::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (key, index) = part.split_at(part.find('[').unwrap_or(part.len()));
        prefix = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        asked.insert(prefix.clone());
        prefix += &"[]".repeat(index.matches('[').count());
    }
}

/// The parts of a schema that say something about the same value: itself, what it refers to, and
/// its alternatives.
fn parts<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut parts = vec![schema];
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#'));
        let target = target.unwrap_or_else(|| panic!("{name} is not defined"));
        parts.extend(self::parts(root, target));
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for alternative in schema[key].as_array().into_iter().flatten() {
            parts.extend(self::parts(root, alternative));
        }
    }
    parts
}

/// Adds every key below `schema`. `open` are the definitions that the way here leads through: a
/// definition that holds itself is walked once.
pub(super) fn keys(
    root: &Value,
    schema: &Value,
    path: &str,
    open: &mut Vec<String>,
    all: &mut BTreeSet<String>,
) {
    let reference = schema["$ref"].as_str().map(str::to_owned);
    if reference.as_ref().is_some_and(|name| open.contains(name)) {
        return;
    }
    open.extend(reference.clone());
    for part in parts(root, schema) {
        for (key, value) in part["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            all.insert(path.clone());
            keys(root, value, &path, open, all);
        }
        if let Some(own @ Value::Object(_)) = part.get("additionalProperties") {
            all.insert(format!("{path}.*"));
            keys(root, own, &format!("{path}.*"), open, all);
        }
        if let Some(items) = part.get("items") {
            keys(root, items, &format!("{path}[]"), open, all);
        }
    }
    if reference.is_some() {
        open.pop();
    }
}

/// Whether the schema knows the key at this path.
pub(super) fn knows(root: &Value, path: &str) -> bool {
    let mut here = vec![root];
    for part in path.split('.') {
        let key = part.trim_end_matches("[]");
        here = here
            .iter()
            .flat_map(|schema| parts(root, schema))
            .filter_map(|part| match key {
                "*" => part.get("additionalProperties").filter(|it| it.is_object()),
                key => part["properties"].get(key),
            })
            .collect();
        for _ in 0..part.matches("[]").count() {
            let items = here.iter().flat_map(|schema| parts(root, schema));
            here = items.filter_map(|part| part.get("items")).collect();
        }
    }
    !here.is_empty()
}

#[test]
fn every_key_that_the_reader_asks_for_is_in_the_schema() {
    let schema = parsed();
    let asked = asked();
    assert!(asked.contains("phases[].steps[].soak.for"), "nothing was recorded: {asked:?}");
    let missing: Vec<&String> = asked.iter().filter(|path| !knows(&schema, path)).collect();
    assert!(
        missing.is_empty(),
        "src/schema/plan.schema.json lacks keys that the reader asks for: {missing:#?}"
    );
}

#[test]
fn every_key_of_the_schema_is_asked_for_by_the_reader() {
    let schema = parsed();
    let mut known = BTreeSet::new();
    keys(&schema, &schema, "", &mut Vec::new(), &mut known);
    assert!(known.contains("phases[].steps[].soak.for"), "{known:?}");
    let asked = asked();
    let missing: Vec<&String> = known.difference(&asked).collect();
    assert!(
        missing.is_empty(),
        "the schema has keys that the reader was never asked for; if it reads them, put them into \
         src/schema/every-key.yaml, which must stay sound: {missing:#?}"
    );
}

#[test]
fn every_plan_of_the_project_is_sound_for_both() {
    let validator = jsonschema::draft202012::new(&parsed()).unwrap();
    let corpus = corpus();
    assert!(corpus.len() >= 6, "{} plans", corpus.len());
    for (file, text) in corpus {
        if let Err(faults) = crate::parse(&file, &text) {
            panic!("{faults}");
        }
        let mut reader = Reader::default();
        let value = as_json(&node::build(&text, &mut reader).unwrap());
        let faults: Vec<String> = validator
            .iter_errors(&value)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{file}: {faults:#?}");
    }
}

#[test]
fn the_schema_is_one_and_refuses_what_the_reader_refuses() {
    let schema = parsed();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let (_, text) = corpus().into_iter().find(|(file, _)| file.ends_with("design.yaml")).unwrap();
    let sound = as_json(&node::build(&text, &mut Reader::default()).unwrap());
    let refused = |pointer: &str, value: Value| {
        let mut plan = sound.clone();
        *plan.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&plan), "{pointer}");
    };
    assert!(validator.is_valid(&sound));
    refused("/objectives/write_pause", json!(500));
    refused("/source/postgres/url", json!({"env": "A", "file": "b"}));
    refused("/metadata", json!({"name": "shop", "owners": "me"}));
    refused("/phases/0/steps/0", json!({"replicate": {}, "verify": {}}));
    refused("/phases/0/steps/0", json!("replicat"));
    refused("/phases", json!([]));
}

/// Objects that allow unknown keys would let a typo pass in an editor and fail in `plan`.
#[test]
fn no_mapping_of_the_schema_is_open() {
    fn walk(value: &Value, path: &str, open: &mut Vec<String>) {
        if value.get("properties").is_some_and(Value::is_object)
            && value.get("type").is_some()
            && value.get("additionalProperties") != Some(&json!(false))
        {
            open.push(path.to_owned());
        }
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, it)| walk(it, &format!("{path}/{key}"), open));
            }
            Value::Array(items) => items.iter().for_each(|it| walk(it, path, open)),
            _ => {}
        }
    }
    let mut open = Vec::new();
    walk(&parsed(), "", &mut open);
    walk(&super::program::parsed(), "", &mut open);
    assert!(open.is_empty(), "{open:#?}");
}
