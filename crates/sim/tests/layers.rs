//! The layers of `ARCHITECTURE.md`, read from the manifests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Each crate and the crates of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("pgwire", &["types"]),
    ("relay", &["types"]),
    ("cutover", &["types"]),
    ("routing", &["types"]),
    ("plan", &["types"]),
    ("assess", &["types"]),
    ("canary", &["types"]),
    ("run", &["types", "plan", "cutover", "canary"]),
    ("journal", &["types"]),
    ("postgres", &["types", "pgwire", "relay", "assess"]),
    ("discover", &["types", "assess"]),
    ("gate", &["types", "pgwire", "routing"]),
    ("probe", &["types", "assess"]),
    ("checks", &["types", "plan", "routing"]),
    (
        "engine",
        &[
            "types", "plan", "assess", "run", "cutover", "routing", "relay", "journal", "postgres",
            "gate", "probe", "checks",
        ],
    ),
    (
        "changeover",
        &["types", "plan", "assess", "run", "routing", "journal", "checks", "discover", "engine"],
    ),
];

/// Crates that know no clock, chance, socket, file or task.
const PURE: &[&str] =
    &["types", "pgwire", "relay", "cutover", "routing", "plan", "assess", "canary", "run"];

/// What a pure crate may take from outside: data structures, codecs and derives.
const PURE_MAY_TAKE: [&str; 12] = [
    "base64",
    "bytes",
    "hmac",
    // Calendars and time zones as data compiled in; its clock is forbidden by `clippy-core.toml`.
    "jiff",
    "pbkdf2",
    "saphyr-parser",
    "serde",
    "serde_json",
    "sha2",
    "stringprep",
    "subtle",
    "thiserror",
];

/// The names under `[dependencies]` of a crate's manifest.
fn dependencies(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn imports_go_strictly_downward() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for (name, may_use) in &allowed {
        for dependency in dependencies(name) {
            if let Some(ours) = dependency.strip_prefix("changeover-") {
                assert!(may_use.contains(&ours), "{name} must not use {ours}");
            }
        }
    }
}

#[test]
fn every_crate_has_a_layer() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for entry in fs::read_dir(crates).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let development = ["sim", "testkit", "canary-bench"].contains(&name.as_str());
        assert!(development || MAY_USE.iter().any(|(known, _)| *known == name), "{name}");
    }
}

#[test]
fn pure_crates_take_only_data_structures_from_outside() {
    for name in PURE {
        for dependency in dependencies(name) {
            let ours = dependency.starts_with("changeover-");
            assert!(
                ours || PURE_MAY_TAKE.contains(&dependency.as_str()),
                "{name} must not take {dependency}"
            );
        }
        let lints = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("clippy.toml");
        assert!(fs::read_to_string(lints).unwrap().contains("std::time::Instant::now"), "{name}");
    }
}
