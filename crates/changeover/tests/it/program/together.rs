//! Two that move side by side and go back together; a phase and a component that wait for people.

use super::killed::kill_daemon;
use super::{Program, Web};
use crate::cutover::Holder;
use crate::faults::program::has;
use crate::gates::web::{Load, from};
use crate::stage::{PATIENCE, Pair, until};

#[test]
fn a_group_goes_back_together_and_who_needs_it_waits_for_people() {
    let pair = Pair::start("together");
    let web = Web::start();
    let mut program = Program::new(&pair, "together", &web);
    Program::rewrite(&program.orders.plan, "attempts: 5", "attempts: 1");
    Program::rewrite(&program.file, ", needs: users", "");
    let group = "needs: [users, orders]}\ntogether: [{components: [users, orders]}]";
    Program::rewrite(&program.file, "needs: orders}", group);
    let moves = "{move: users}, {component: orders, to: cutover}, {move: orders}, {move: web}";
    let own = "{move: [users, orders]}]\n  - name: front\n    approve: {from: [carol]}\n    \
               steps: [{move: web}, {soak: {for: 1h}}";
    Program::rewrite(&program.file, moves, own);
    let asks = "- name: canary\n    approve: {from: [alice, bob], self: false, within: 1h}\n";
    Program::rewrite(&program.folder.path().join("web.yaml"), "- name: canary\n", asks);
    program.start_gates();
    let load = Load::start(program.web_port);
    let writers = program.writers();

    // Copied first: a copy waits for every writer.
    for stage in program.stages() {
        let ran = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE);
        assert_eq!(ran.unwrap_or_else(|e| panic!("{e}")).code, Some(0), "{}", program.report());
    }
    // Orders cannot be sealed in time; users, which was well, goes back with it.
    let in_the_way = Holder::start(&program.orders.source, "UPDATE document SET version = version");
    let ran = program.say("apply", &["--as", "bob"], 3);
    let why = ran.last("result").unwrap()["state"]["why"].as_str().unwrap().to_owned();
    assert!(why.starts_with("orders: the cutover was called off"), "{why}");
    for stage in program.stages() {
        let (source, target) = stage.authority();
        assert_eq!(source, "source", "{}", program.report());
        assert_ne!(target, "target", "{}", program.report());
    }
    // Side by side: both were sent before either had arrived, and both were sent back.
    let order = |component: &str, order: &str| {
        let is = |it: &changeover_journal::Record| {
            it.body["component"] == component && it.body["order"]["do"] == order
        };
        let records = program.journal();
        let moves = |it: &&changeover_journal::Record| it.body["order"]["moves"] != false;
        let found = records.iter().filter(|it| is(it)).find(moves).map(|it| it.seq);
        found.unwrap_or_else(|| panic!("{component} {order}: {}", program.report()))
    };
    let sent = order("users", "advance").max(order("orders", "advance"));
    let sent_back = order("users", "roll-back").min(order("orders", "roll-back"));
    assert!(sent < sent_back, "{}", program.report());
    in_the_way.end();

    // Tried again, both are there; the next phase of the program waits for carol.
    let waits_for = |more: &[&str]| {
        let ran = program.say("apply", &[&["--no-wait"], more].concat(), 4);
        let state = ran.last("result").unwrap()["state"].clone();
        assert_eq!(state["waits_for"], "approval", "{state}");
        state["reason"].as_str().unwrap().to_owned()
    };
    has(&waits_for(&["--as", "bob"]), &["front/move waits for 1 more of carol"]);
    kill_daemon(&program);
    has(&program.say("approve", &["--as", "bob"], 1).error(), &["bob is not asked", "carol"]);
    program.say("approve", &["--as", "carol"], 0);

    // Then the web service does, for somebody who did not apply.
    has(&waits_for(&[]), &["web: canary/canary waits for 1 more of alice, bob"]);
    for stage in program.stages() {
        assert_eq!(stage.status()["authority"], "target", "{}", program.report());
    }
    kill_daemon(&program);
    let waits = until(PATIENCE, || {
        let status = program.status();
        (status["state"]["is"] == "waiting").then_some(status)
    });
    let waits = waits.unwrap_or_else(|| panic!("{}", program.report()));
    assert_eq!(waits["components"][2]["approval"]["from"][0], "alice", "{waits}");
    has(&program.say("approve", &["--as", "bob"], 1).error(), &["bob ran `apply`"]);
    let users = ["--as", "alice", "--component", "users"];
    has(&program.say("approve", &users, 1).error(), &["users waits for no approval; web do"]);
    assert_eq!(from(&load.more(20), "blue"), 20, "{}", program.report());

    program.say("approve", &["--as", "alice"], 0);
    let soaks = until(PATIENCE, || (program.status()["step"] == "front/soak").then_some(()));
    assert!(soaks.is_some(), "{}", program.report());
    program.say("skip", &["--reason", "seen enough"], 0);
    program.expect("apply", 0);
    assert_eq!(from(&load.more(20), "green"), 20, "{}", program.report());
    drop(load);
    program.check(writers);
}
