//! What cannot be had is unknown with its reason, and never an abort.

use crate::system::System;

#[test]
fn a_side_that_does_not_answer_is_unknown_and_the_other_is_judged() {
    let mut system = System::start("clean-shop");
    system.target.stop("immediate").unwrap();
    let sides = ["assess", "--source", "env:OLD", "--target", "env:NEW", "--sample", "0s"];
    let said = system.changeover("postgres", &sides);
    assert_eq!(said.code, Some(2), "nothing is known of a side: {}\n{}", said.out, said.err);
    assert!(said.out.contains("is the server running and the address right?"), "{}", said.out);
    assert!(said.out.contains("target could not be read"), "{}", said.out);
    assert_eq!(said.out.matches("is the server running").count(), 1, "a cause once: {}", said.out);
}

#[test]
fn a_secret_that_is_missing_is_named_and_a_password_on_the_command_line_is_refused() {
    let system = System::start("clean-shop");
    let missing = ["assess", "--source", "env:NOWHERE", "--target", "env:NEW", "--sample", "0s"];
    let said = system.changeover("postgres", &missing);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.out.contains("environment variable NOWHERE"), "{}", said.out);

    let open = ["assess", "--source", "postgresql://me:hunter2@127.0.0.1/shop"];
    let said = system.changeover("postgres", &open);
    assert_eq!(said.code, Some(64), "{}", said.err);
    assert!(!said.err.contains("hunter2") && said.err.contains("env:NAME"), "{}", said.err);
    assert_eq!(system.changeover("postgres", &["assess"]).code, Some(64));

    let faulty = "apiVersion: changeover/v1\nkind: Answers\ndeclared: {target: {zoness: 3}}\n";
    std::fs::write(system.scratch.path().join("answers.yaml"), faulty).unwrap();
    let sides = ["assess", "--source", "env:OLD", "--answers", "answers.yaml"];
    let said = system.changeover("postgres", &sides);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("answers.yaml:3:21"), "{}", said.err);
    assert!(said.err.contains("did you mean `zones`?"), "{}", said.err);
}
