//! What we write as SARIF is SARIF: checked with the standard's own schema.
//!
//! `sarif-schema-2.1.0.json` is the JSON Schema of the OASIS standard "Static Analysis Results
//! Interchange Format (SARIF) Version 2.1.0", unchanged, from
//! <https://github.com/oasis-tcs/sarif-spec>. Copyright OASIS Open; it is used under the OASIS
//! Intellectual Property Rights Policy, for testing only, and is no part of the program.

use serde_json::Value;

const SCHEMA: &str = include_str!("sarif-schema-2.1.0.json");

/// Panics with every place in which the log breaks the schema.
pub(crate) fn assert_sarif(log: &Value) {
    // One pattern, of `run.language`, has a stray bracket; the standard's errata mend it.
    let schema = SCHEMA.replace("|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$", "(-[a-zA-Z]{2})?$");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(log)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(log["version"], "2.1.0");
    // A schema that accepts everything would prove nothing.
    let mut spoilt = log.clone();
    spoilt["runs"][0]["results"][0]["level"] = "dreadful".into();
    assert!(!validator.is_valid(&spoilt), "an invalid level is accepted");
}
