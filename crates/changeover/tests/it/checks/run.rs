//! `run`: a command of the user's, its children, its output and its JUnit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::Router;

use super::site::{Server, Site};
use crate::stage::{PATIENCE, until};

fn site(steps: &str) -> (Site, [Server; 2]) {
    let servers = [Server::start(Router::new()), Server::start(Router::new())];
    (Site::new(&servers[0], &servers[1], steps), servers)
}

/// Whether the process that wrote its number into the file lives.
fn lives(file: &Path) -> bool {
    let pid = fs::read_to_string(file).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    status.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn exit_code_and_junit_decide_and_failures_have_names() {
    let steps = "      - run:
          command: [sh, tests.sh]
          junit: reports/**/*.xml
          env: {BASE_URL: \"http://green\", API_TOKEN: {file: token}}
";
    let (site, _servers) = site(steps);
    let script = |body: &str| {
        fs::write(site.path().join("tests.sh"), format!("mkdir -p reports/a\n{body}")).unwrap();
    };
    let report = |inner: &str| format!("echo '<testsuite>{inner}</testsuite>' > reports/a/r.xml\n");
    fs::write(site.path().join("token"), "s3cr3t\n").unwrap();
    script("echo \"$BASE_URL $API_TOKEN\"; echo err >&2; exit 3");
    let text = site.apply(5);
    let log = site.state("checks/move-run.log");
    assert!(text.contains(&format!("sh: ended with exit code 3; see {}", log.display())), "{text}");
    assert!(text.contains("reports/**/*.xml: the command left no JUnit file there"), "{text}");
    let output = fs::read_to_string(&log).unwrap();
    assert!(output.contains("http://green s3cr3t\n") && output.contains("err\n"), "{output}");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);

    let failing = "<testcase classname=\"Cart\" name=\"adds\"/><testcase classname=\"Cart\" \
                   name=\"pays\"><failure type=\"Timeout\" message=\"4711\"/></testcase>";
    script(&report(failing));
    site.apply(5);
    let checks = site.checks();
    assert_eq!(Site::failures(&checks[1]), ["Cart / pays: failed (Timeout)"]);
    assert_eq!(checks[1]["summary"], "1 failures among the command and its 2 tests");
    assert!(!format!("{checks:?}{}", site.log()).contains("4711"));
    assert!(!format!("{checks:?}{}", site.log()).contains("s3cr3t"));

    // Yesterday's report is no proof of today's command.
    script("true");
    site.apply(5);
    let stale = "reports/**/*.xml: all 1 JUnit files there are older than this run";
    assert_eq!(Site::failures(&site.checks()[2]), [stale]);

    script(&report("<testcase name=\"a\"/><testcase name=\"b\"><skipped/></testcase>"));
    site.apply(0);
    assert_eq!(site.checks()[3]["summary"], "exit code 0, 2 tests without a failure");
}

#[test]
fn a_command_that_cannot_be_started_has_not_passed() {
    let (site, _servers) = site("      - run: {command: [./no-such-program]}\n");
    site.apply(5);
    let failures = Site::failures(&site.checks()[0]);
    assert!(failures[0].contains("cannot be started (exit code 127)"), "{failures:?}");
}

/// A command with a child in another session, which outlives its parent unless somebody looks.
const TREE: &str = "echo $$ > parent
setsid sh -c 'echo $$ > child; exec sleep 600' &
while [ ! -s child ]; do :; done
trap '' TERM
touch ready
[ -e done ] || sleep 600
";

#[test]
fn at_the_deadline_the_command_is_ended_with_its_children() {
    let (site, _servers) = site("      - run: {command: [sh, tree.sh], within: 3s}\n");
    fs::write(site.path().join("tree.sh"), TREE).unwrap();
    site.apply(5);
    let failures = Site::failures(&site.checks()[0]);
    assert!(failures[0].contains("was not done within 3 s and was ended"), "{failures:?}");
    for file in ["parent", "child"] {
        assert!(!lives(&site.path().join(file)), "the {file} lives");
    }
}

#[test]
fn a_killed_daemon_takes_the_command_with_it_and_its_successor_runs_it_again() {
    let (site, _servers) = site("      - run: {command: [sh, tree.sh]}\n");
    fs::write(site.path().join("tree.sh"), TREE).unwrap();
    let path = |name: &str| site.path().join(name);
    let mut apply = site.command(&["apply", "plan.yaml"]).spawn().unwrap();
    let ready = |what: &str| {
        let there = until(PATIENCE, || path("ready").exists().then_some(()));
        assert!(there.is_some(), "{what}: {}", site.log());
        let pids = ["parent", "child"].map(|file| fs::read_to_string(path(file)).unwrap());
        fs::remove_file(path("ready")).unwrap();
        pids
    };
    let first = ready("the command does not come up");
    for (file, pid) in ["old-parent", "old-child"].iter().zip(&first) {
        fs::write(path(file), pid).unwrap();
    }
    fs::remove_file(path("child")).unwrap();
    site.kill_daemon();
    let second = ready("the command is not run again");
    assert!(first.iter().all(|pid| !second.contains(pid)));
    for file in ["old-parent", "old-child"] {
        let gone = until(PATIENCE, || (!lives(&path(file))).then_some(()));
        assert!(gone.is_some(), "the {file} lives");
    }
    fs::write(path("done"), "").unwrap();
    fs::remove_file(path("child")).unwrap();
    site.kill_daemon();
    assert!(apply.wait().unwrap().success(), "{}", site.log());
    assert_eq!(site.checks().len(), 1, "a check that was cut short has no outcome");
    assert!(!lives(&path("child")), "what a command leaves behind is ended too");
}
