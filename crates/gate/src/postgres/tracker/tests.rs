//! The tracker beside a model of the server that is written from the protocol's description.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::BytesMut;
use changeover_pgwire::frontend::{self, Target};
use proptest::prelude::*;

use super::*;

fn tracker() -> SessionTracker {
    SessionTracker::new(BTreeMap::new())
}

/// What a client may send.
#[derive(Clone, Debug)]
enum Say {
    Query(Outcome),
    Call(bool),
    Parse(u8, bool),
    Bind(bool),
    Describe(bool),
    Execute(Outcome),
    Close(u8),
    Flush,
    Sync,
    CopyData,
    CopyDone,
    CopyFail,
}

/// What becomes of a query or Execute.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Rows,
    Fails,
    Begins,
    Ends,
    CopiesOut,
    /// COPY FROM; true if it fails at its end.
    CopiesIn(bool),
    DiscardsAll,
}

impl Say {
    fn frame(&self) -> BytesMut {
        let mut out = BytesMut::new();
        match self {
            Say::Query(_) => frontend::query(&mut out, "select 1"),
            Say::Call(_) => out.extend_from_slice(b"F\0\0\0\x04"),
            Say::Parse(name, _) => frontend::parse(&mut out, &named(*name), "select 1", &[23]),
            Say::Bind(_) => frontend::bind(&mut out, "", "", &[]),
            Say::Describe(_) => frontend::describe(&mut out, Target::Portal, ""),
            Say::Execute(_) => frontend::execute(&mut out, "", 0),
            Say::Close(name) => frontend::close(&mut out, Target::Statement, &named(*name)),
            Say::Flush => frontend::flush(&mut out),
            Say::Sync => frontend::sync(&mut out),
            Say::CopyData => frontend::copy_data(&mut out, b"1\n"),
            Say::CopyDone => frontend::copy_done(&mut out),
            Say::CopyFail => frontend::copy_fail(&mut out, "no"),
        }
        out
    }
}

/// 0 is the unnamed statement.
fn named(name: u8) -> String {
    if name == 0 { String::new() } else { format!("s{name}") }
}

/// A server: takes whole messages, one at a time, and answers.
#[derive(Debug, Default)]
struct Model {
    inbox: VecDeque<Say>,
    answers: VecDeque<(u8, Vec<u8>)>,
    status: u8,
    skipping: bool,
    /// Extended messages were handled since the last Sync.
    implicit: bool,
    copying: Option<(bool, bool)>,
    statements: BTreeSet<String>,
}

impl Model {
    fn new() -> Model {
        Model { status: b'I', ..Model::default() }
    }

    /// Handles one message, if there is one.
    fn step(&mut self) {
        let Some(say) = self.inbox.pop_front() else { return };
        if let Some((extended, fails)) = self.copying {
            return self.in_copy(&say, extended, fails);
        }
        if matches!(say, Say::Sync) {
            self.skipping = false;
            self.implicit = false;
            return self.ready();
        }
        if self.skipping {
            return;
        }
        match say {
            Say::Query(outcome) => {
                self.implicit = false;
                self.statements.remove("");
                self.run(outcome, false);
                if self.copying.is_none() {
                    self.ready();
                }
            }
            Say::Call(fails) => {
                self.implicit = false;
                if fails {
                    self.error()
                } else {
                    self.answer(b'V', b"")
                }
                self.ready();
            }
            Say::Parse(name, fails) => {
                self.extended(fails, b'1');
                if !fails {
                    self.statements.insert(named(name));
                }
            }
            Say::Bind(fails) => self.extended(fails, b'2'),
            Say::Describe(fails) => self.extended(fails, b'n'),
            Say::Close(name) => {
                self.extended(false, b'3');
                self.statements.remove(&named(name));
            }
            Say::Execute(outcome) => {
                self.implicit = true;
                self.run(outcome, true);
            }
            Say::Flush | Say::Sync | Say::CopyData | Say::CopyDone | Say::CopyFail => {}
        }
    }

    fn in_copy(&mut self, say: &Say, extended: bool, fails: bool) {
        match say {
            Say::CopyData | Say::Flush | Say::Sync => return,
            Say::CopyDone if !fails => self.answer(b'C', b"COPY 1\0"),
            _ => {
                self.error();
                self.skipping = extended;
            }
        }
        self.copying = None;
        if !extended {
            self.ready();
        }
    }

    fn extended(&mut self, fails: bool, tag: u8) {
        self.implicit = true;
        if fails {
            self.error();
            self.skipping = true;
        } else {
            self.answer(tag, b"");
        }
    }

    fn run(&mut self, outcome: Outcome, extended: bool) {
        match outcome {
            Outcome::Rows => {
                if !extended {
                    self.answer(b'T', &[0, 0]);
                }
                self.answer(b'D', &[0, 0]);
                self.answer(b'C', b"SELECT 1\0");
            }
            Outcome::Fails => {
                self.error();
                self.skipping = extended;
            }
            Outcome::Begins => {
                self.status = b'T';
                self.answer(b'C', b"BEGIN\0");
            }
            Outcome::Ends => {
                self.status = b'I';
                self.answer(b'C', b"COMMIT\0");
            }
            Outcome::CopiesOut => {
                for (tag, body) in [(b'H', &[0, 0, 0][..]), (b'd', b"1\n"), (b'c', b"")] {
                    self.answer(tag, body);
                }
                self.answer(b'C', b"COPY 1\0");
            }
            Outcome::CopiesIn(fails) => {
                self.answer(b'G', &[0, 0, 0]);
                self.copying = Some((extended, fails));
            }
            Outcome::DiscardsAll => {
                self.statements.retain(String::is_empty);
                self.answer(b'C', b"DISCARD ALL\0");
            }
        }
    }

    fn error(&mut self) {
        if self.status == b'T' {
            self.status = b'E';
        }
        self.answer(b'E', b"\0");
    }

    fn ready(&mut self) {
        let status = self.status;
        self.answer(b'Z', &[status]);
    }

    fn answer(&mut self, tag: u8, body: &[u8]) {
        self.answers.push_back((tag, body.to_vec()));
    }

    /// The truth about the boundary.
    fn at_rest(&self) -> bool {
        self.inbox.is_empty()
            && self.answers.is_empty()
            && self.status == b'I'
            && !self.skipping
            && !self.implicit
            && self.copying.is_none()
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Rows),
        2 => Just(Outcome::Fails),
        1 => Just(Outcome::Begins),
        2 => Just(Outcome::Ends),
        1 => Just(Outcome::CopiesOut),
        2 => any::<bool>().prop_map(Outcome::CopiesIn),
        1 => Just(Outcome::DiscardsAll),
    ]
}

/// Rounds of messages as clients send them: whole exchanges, with or without a Sync at the end,
/// and the data of copies whether or not the server wants it.
fn round() -> impl Strategy<Value = Vec<Say>> {
    let fails = || prop::bool::weighted(0.15);
    let extended = prop_oneof![
        3 => (0_u8..3, fails()).prop_map(|(name, fails)| Say::Parse(name, fails)),
        2 => fails().prop_map(Say::Bind),
        1 => fails().prop_map(Say::Describe),
        2 => outcome().prop_map(Say::Execute),
        1 => (0_u8..3).prop_map(Say::Close),
        1 => Just(Say::Flush),
    ];
    let tail = prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec![Say::CopyData, Say::CopyDone]),
        1 => Just(vec![Say::CopyData, Say::CopyFail]),
        1 => Just(vec![Say::CopyDone]),
    ];
    prop_oneof![
        (outcome(), tail.clone()).prop_map(|(outcome, tail)| {
            let mut says = vec![Say::Query(outcome)];
            says.extend(tail);
            says
        }),
        fails().prop_map(|fails| vec![Say::Call(fails)]),
        (prop::collection::vec(extended, 1..5), tail, prop::bool::weighted(0.3), any::<bool>())
            .prop_map(|(mut says, tail, early, last)| {
                if early {
                    says.push(Say::Sync);
                }
                says.extend(tail);
                if last {
                    says.push(Say::Sync);
                }
                says
            }),
    ]
}

/// A copy must be ended before anything else is said: a server ends the connection of a client
/// that does otherwise.
fn end_copies(says: Vec<Say>) -> VecDeque<Say> {
    let mut ended = VecDeque::new();
    let mut copying = false;
    for say in says {
        let inside = matches!(say, Say::CopyData | Say::Flush | Say::Sync);
        if copying && !inside && !matches!(say, Say::CopyDone | Say::CopyFail) {
            ended.push_back(Say::CopyDone);
        }
        copying = match say {
            Say::Query(Outcome::CopiesIn(_)) | Say::Execute(Outcome::CopiesIn(_)) => true,
            _ => copying && inside,
        };
        ended.push_back(say);
    }
    ended
}

/// Delivers one answer to the tracker.
fn deliver(model: &mut Model, tracker: &mut SessionTracker) {
    if let Some((tag, body)) = model.answers.pop_front() {
        let wanted = SessionTracker::wants_backend_body(tag).then_some(body.as_slice());
        tracker.backend(tag, wanted).unwrap();
    }
}

fn send(say: &Say, model: &mut Model, tracker: &mut SessionTracker) {
    let frame = say.frame();
    let body = &frame[5..];
    let wanted = SessionTracker::wants_frontend_body(frame[0]).then_some(body);
    tracker.frontend(frame[0], wanted, body);
    model.inbox.push_back(say.clone());
}

fn settle(model: &mut Model, tracker: &mut SessionTracker) {
    while !model.inbox.is_empty() || !model.answers.is_empty() {
        model.step();
        while !model.answers.is_empty() {
            deliver(model, tracker);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// Whatever is sent, and however sending, handling and answering interleave: the tracker
    /// never calls it a boundary when it is none, and finds every boundary once all is answered.
    #[test]
    fn a_boundary_is_a_boundary(
        rounds in prop::collection::vec(round(), 1..8),
        schedule in prop::collection::vec(0_u8..3, 0..200),
    ) {
        let (mut model, mut tracker) = (Model::new(), tracker());
        let mut says = end_copies(rounds.into_iter().flatten().collect());
        let mut schedule = schedule.into_iter();
        while !says.is_empty() {
            match schedule.next().unwrap_or(0) {
                0 => {
                    let say = says.pop_front().unwrap();
                    send(&say, &mut model, &mut tracker);
                }
                1 => model.step(),
                _ => deliver(&mut model, &mut tracker),
            }
            let inert = model.inbox.iter().all(|say| {
                matches!(say, Say::CopyData | Say::CopyDone | Say::CopyFail | Say::Flush)
            });
            if tracker.at_boundary() {
                let rest = model.status == b'I' && !model.skipping && !model.implicit
                    && model.copying.is_none() && model.answers.is_empty() && inert;
                prop_assert!(rest, "no boundary: {model:?}\n{tracker:?}");
            }
        }
        settle(&mut model, &mut tracker);
        prop_assert_eq!(tracker.at_boundary(), model.at_rest(), "{:?}\n{:?}", model, tracker);
        // Every session comes to rest again.
        for say in [Say::CopyFail, Say::Sync, Say::Query(Outcome::Ends)] {
            send(&say, &mut model, &mut tracker);
            settle(&mut model, &mut tracker);
        }
        prop_assert!(tracker.at_boundary() && model.at_rest(), "{model:?}\n{tracker:?}");
        let kept: BTreeSet<String> = tracker
            .statements()
            .iter()
            .map(|s| String::from_utf8(s.name().to_vec()).unwrap())
            .collect();
        prop_assert_eq!(kept, model.statements);
    }

    /// A hostile server or client gets no panic out of it.
    #[test]
    fn any_bytes_do_no_harm(
        frames in prop::collection::vec((any::<bool>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60),
    ) {
        let mut tracker = tracker();
        for (from_client, tag, body) in frames {
            if from_client {
                tracker.frontend(tag, Some(&body), &body);
            } else {
                tracker.backend(tag, Some(&body)).ok();
            }
            tracker.at_boundary();
        }
    }
}

#[test]
fn custom_settings_are_noticed_in_texts_and_in_values() {
    let mut tracker = tracker();
    tracker.frontend(b'Q', None, b"set app.tenant = 1\0");
    assert!(!tracker.sets_by_value());
    let mut parse = BytesMut::new();
    frontend::parse(&mut parse, "", "select set_config($1, $2, false)", &[]);
    tracker.frontend(b'P', Some(&parse[5..]), b"");
    assert!(tracker.sets_by_value());
    let bind = b"\0\0\0\x01\0\0\0\x03\0\0\0\x05app.x\xff\xff\xff\xff\0\0\0\x03T-7\0\0";
    tracker.notice_values(bind);
    let noticed: Vec<&String> = tracker.noticed().unwrap().iter().collect();
    assert_eq!(noticed, ["app.tenant", "app.x"]);
    tracker.notice_values(b"\0\0\0\x01");
    for n in 0..MAX_SETTINGS {
        tracker.frontend(b'Q', None, format!("set a.b{n} = 1").as_bytes());
    }
    assert!(tracker.noticed().is_none(), "more than are remembered");
}

#[test]
fn a_long_unnamed_statement_is_forgotten_with_the_next_one() {
    let mut tracker = tracker();
    tracker.frontend(b'P', None, b"\0insert into");
    tracker.backend(b'1', None).unwrap();
    assert!(tracker.statements().lost());
    let mut parse = BytesMut::new();
    frontend::parse(&mut parse, "", "select 1", &[]);
    tracker.frontend(b'P', Some(&parse[5..]), b"");
    tracker.backend(b'1', None).unwrap();
    assert!(!tracker.statements().lost());
    tracker.frontend(b'P', None, b"\0insert into");
    tracker.backend(b'1', None).unwrap();
    tracker.frontend(b'S', None, b"");
    tracker.backend(b'Z', Some(b"I")).unwrap();
    tracker.frontend(b'Q', None, b"select 1");
    tracker.backend(b'C', Some(b"SELECT 1\0")).unwrap();
    tracker.backend(b'Z', Some(b"I")).unwrap();
    assert!(!tracker.statements().lost(), "a simple query destroys it");
}

#[test]
fn a_statement_too_long_to_keep_is_lost_until_all_are_discarded() {
    let mut tracker = tracker();
    tracker.frontend(b'P', None, b"named\0");
    tracker.backend(b'1', None).unwrap();
    assert!(tracker.statements().lost());
    tracker.frontend(b'Q', None, b"");
    tracker.backend(b'C', Some(b"DISCARD ALL\0")).unwrap();
    tracker.backend(b'Z', Some(b"I")).unwrap();
    assert!(!tracker.statements().lost());
    tracker.frontend(b'S', None, b"");
    assert!(tracker.backend(b'Z', Some(b"X")).is_err());
}
