//! Forwarding in a session whose server's type numbers are not those that its client knows.
//!
//! Messages that may hold type numbers are collected, looked into, and changed where they have
//! some; see [`super::super::types`]. What is known of a statement lies beside it
//! ([`Described`]); what is known of a message under way, in the queue of expectations; what is
//! known of a portal, here, from the moment when the server has confirmed it. Rows of a portal
//! that nobody has described are described to us first, by a message of our own.

use std::collections::BTreeMap;
use std::sync::Arc;

use changeover_pgwire::frame::{HEADER_LEN, Header};
use tokio::time::{Instant, sleep};

use super::super::admit::fatal;
use super::super::tracker::{
    Bound, Expect, GLIMPSE, MAX_KEPT_PARSE, SessionTracker, Statement, Step,
};
use super::super::types::{
    self, Bind, Column, FIRST_USER_TYPE, Meaning, Numbers, Refused, Role, RowPlan, Types, carries,
    sent_as,
};
use super::boundary::{CAPTURE_TIME, TRY_AGAIN};
use super::forward::MAX_INSPECTED;
use super::{End, Session};

/// So many of the newest messages are looked through for what they say of a portal.
const LOOKED_THROUGH: usize = 64;

/// What is known of results, in the order in which the server answers.
#[derive(Debug, Default)]
pub(super) struct Results {
    portals: BTreeMap<Box<[u8]>, Portal>,
    /// The rows of the present simple query.
    query: Option<Arc<RowPlan>>,
    /// The rows that are coming, once the first has come; the inner is `None` if they pass as
    /// they are.
    rows: Option<Option<Arc<RowPlan>>>,
    /// Types that must be learnt before the next message can pass.
    pub(super) strange: Vec<u32>,
}

#[derive(Debug)]
struct Portal {
    bound: Bound,
    /// As it was described.
    rows: Option<Arc<RowPlan>>,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// More of it must be there first.
    Wait,
    /// It is forwarded.
    Pass(Header),
    /// It is not for the client.
    Drop(Header),
}

fn until_nul(body: &[u8]) -> &[u8] {
    body.split(|b| *b == 0).next().unwrap_or_default()
}

/// A statement that is kept, or about to be.
fn statement<'a>(tracker: &'a SessionTracker, name: &[u8]) -> Option<&'a Statement> {
    let pending = tracker.latest().take(LOOKED_THROUGH).find_map(|expect| match expect {
        Expect::Parse(Some(statement)) if statement.name() == name => Some(&**statement),
        _ => None,
    });
    pending.or_else(|| tracker.statements().get(name))
}

/// The types of a statement's parameters in the server's numbers, 0 where not known.
fn parameter_types(numbers: &Numbers, statement: &Statement) -> Vec<u32> {
    if let Some(described) = &statement.described.parameters {
        return described.to_vec();
    }
    let meaning = statement.meaning.as_deref();
    let role = |at| meaning.map_or(Role::Other, |meaning| meaning.role(at));
    statement.types().zip(1..).map(|(declared, at)| sent_as(numbers, role(at), declared)).collect()
}

impl Session {
    /// Lets a frontend message pass; false if more of it must be there first. As
    /// [`Session::take_up`], with translation.
    pub(super) fn translate_up(&mut self, header: Header, numbers: &Numbers) -> Result<bool, End> {
        let new = match header.tag {
            b'P' => {
                if !self.up.collect(header)? {
                    return Ok(false);
                }
                let body = self.up.body(header);
                let mut statement = Statement::from_parse(body);
                if let Some(statement) = &mut statement {
                    statement.meaning = Meaning::of(statement.query()).map(Arc::new);
                    let meaning = statement.meaning.as_deref();
                    types::parse(numbers, meaning, body, statement.types_at());
                }
                let unnamed = body.first() == Some(&0);
                let kept = statement.filter(|_| header.body_len <= MAX_KEPT_PARSE);
                self.tracker.frontend_parse(kept, unnamed);
                header
            }
            b'Q' => {
                let looked_at = header.body_len <= MAX_INSPECTED;
                let part = Header { body_len: header.body_len.min(GLIMPSE), ..header };
                if !self.up.has_whole(if looked_at { header } else { part }) {
                    return Ok(false);
                }
                let body = self.up.body(if looked_at { header } else { part });
                let asks = Meaning::of(body).is_some();
                let glimpse = &body[..body.len().min(GLIMPSE)];
                self.tracker.frontend_query(glimpse, asks);
                header
            }
            b'B' => match self.bind(header, numbers)? {
                Some(new) => new,
                None => return Ok(false),
            },
            b'D' | b'E' => {
                if !self.up.collect(header)? {
                    return Ok(false);
                }
                let body = self.up.body(header);
                let step = match (header.tag, body.split_first()) {
                    (b'E', _) => Step::Execute(until_nul(body).into()),
                    (_, Some((b'P', name))) => Step::Portal(until_nul(name).into(), false),
                    (_, Some((_, name))) => Step::Statement(until_nul(name).into()),
                    (_, None) => Step::Statement(Box::default()),
                };
                if let Step::Execute(portal) = &step
                    && !self.will_know_rows(portal)
                {
                    let described = [b"P", &portal[..], b"\0"].concat();
                    self.up.insert(b'D', &described);
                    self.tracker.frontend_step(Step::Portal(portal.clone(), true));
                }
                self.tracker.frontend_step(step);
                header
            }
            _ => return self.take_plainly(header),
        };
        self.up.release(new);
        Ok(true)
    }

    fn bind(&mut self, header: Header, numbers: &Numbers) -> Result<Option<Header>, End> {
        let mut whole = header.body_len <= MAX_INSPECTED;
        let part = Header { body_len: header.body_len.min(GLIMPSE), ..header };
        if !self.up.has_whole(if whole { header } else { part }) {
            return Ok(None);
        }
        if !whole {
            let begin = self.up.released + HEADER_LEN;
            let names = Bind::names(&self.up.rx[begin..begin + part.body_len]);
            let plain = names.map(|(portal, name)| {
                let bound = Bound { portal: portal.into(), statement: name.into(), formats: None };
                let may_matter = statement(&self.tracker, name).is_none_or(|statement| {
                    let kinds = parameter_types(numbers, statement);
                    statement.meaning.is_some()
                        || kinds.iter().any(|kind| carries(&numbers.types.shapes, *kind))
                });
                (bound, may_matter)
            });
            match plain {
                Some((bound, false)) => {
                    self.tracker.frontend_step(Step::Bind(bound));
                    return Ok(Some(header));
                }
                _ => whole = self.up.collect(header)?,
            }
        }
        if !whole {
            return Ok(None);
        }
        let begin = self.up.released + HEADER_LEN;
        let Some(bind) = Bind::of(&self.up.rx[begin..begin + header.body_len]) else {
            // The server says what is wrong with it.
            self.tracker.frontend(b'B', None, &[]);
            return Ok(Some(header));
        };
        let translated = match statement(&self.tracker, bind.statement) {
            Some(statement) => {
                let declared: Vec<u32> = statement.types().collect();
                let kinds = parameter_types(numbers, statement);
                bind.translated(numbers, statement.meaning.as_deref(), &declared, &kinds)
            }
            None => Ok(None),
        };
        let bound = Bound {
            portal: bind.portal.into(),
            statement: bind.statement.into(),
            formats: Some(bind.results.as_slice().into()),
        };
        let new = translated.map_err(|Refused(why)| End::Tell(fatal("0A000", why)))?;
        self.tracker.frontend_step(Step::Bind(bound));
        Ok(Some(new.map_or(header, |body| self.up.replace(header, &body))))
    }

    /// Whether, when rows of this portal come, it will have been said what they are.
    fn will_know_rows(&self, portal: &[u8]) -> bool {
        let latest = || self.tracker.latest().take(LOOKED_THROUGH);
        let mut bound = None;
        for expect in latest() {
            let Expect::Step(Some(step)) = expect else { continue };
            match &**step {
                Step::Portal(name, _) if **name == *portal => return true,
                Step::Bind(made) if *made.portal == *portal => {
                    bound = Some(made);
                    break;
                }
                _ => {}
            }
        }
        let bound = match (bound, self.results.portals.get(portal)) {
            (Some(bound), _) => bound,
            (None, Some(known)) if known.rows.is_some() => return true,
            (None, Some(known)) => &known.bound,
            (None, None) => return false,
        };
        if bound.formats.is_none() {
            return false;
        }
        for expect in latest() {
            match expect {
                Expect::Step(Some(step)) => {
                    if matches!(&**step, Step::Statement(name) if *name == bound.statement) {
                        return statement(&self.tracker, &bound.statement).is_some();
                    }
                }
                Expect::Parse(Some(made)) if *made.name() == *bound.statement => return false,
                _ => {}
            }
        }
        let kept = self.tracker.statements().get(&bound.statement);
        kept.is_some_and(|statement| statement.described.rows.is_some())
    }

    /// What becomes of a backend message, before the tracker hears of it.
    pub(super) fn translate_down(
        &mut self,
        header: Header,
        numbers: &Numbers,
    ) -> Result<Passage, End> {
        match header.tag {
            b'D' => return self.row(header, numbers),
            // These may come between rows.
            b'N' | b'A' | b'S' => return Ok(Passage::Pass(header)),
            _ => self.results.rows = None,
        }
        match header.tag {
            b'T' | b't' => {
                if !self.down.collect(header)? {
                    return Ok(Passage::Wait);
                }
                return self.described(header, numbers);
            }
            b'n' => return Ok(self.found_rows(header, RowPlan::default())),
            b'2' => {
                if let Some(Expect::Step(Some(step))) = self.tracker.next()
                    && let Step::Bind(bound) = &**step
                {
                    let kept = self.tracker.statements().get(&bound.statement);
                    let rows = kept.and_then(|kept| kept.described.rows.as_ref());
                    let rows = rows.zip(bound.formats.as_deref());
                    let rows = rows.map(|(plan, formats)| Arc::new(plan.formatted(Some(formats))));
                    let portal = Portal { bound: bound.clone(), rows };
                    self.results.portals.insert(bound.portal.clone(), portal);
                }
            }
            b'C' => self.results.query = None,
            b'Z' => {
                self.results.query = None;
                // Portals end with their transaction.
                if self.down.rx.get(self.down.released + HEADER_LEN) == Some(&b'I') {
                    self.results.portals.clear();
                }
            }
            _ => {}
        }
        Ok(Passage::Pass(header))
    }

    /// A RowDescription or a ParameterDescription.
    fn described(&mut self, header: Header, numbers: &Numbers) -> Result<Passage, End> {
        let body = self.down.body(header);
        let malformed =
            || End::Tell(fatal("08P01", "the server's description of a statement cannot be read"));
        let found: Vec<(usize, Column)> = if header.tag == b'T' {
            types::columns(body).ok_or_else(malformed)?
        } else {
            let places = body.get(2..).ok_or_else(malformed)?.as_chunks::<4>().0;
            let kinds = places.iter().map(|four| u32::from_be_bytes(*four));
            let column = |kind| Column { table: 0, attribute: 0, kind, format: 0 };
            kinds.enumerate().map(|(at, kind)| (2 + 4 * at, column(kind))).collect()
        };
        let kinds = found.iter().map(|(_, column)| column.kind);
        self.results.strange = kinds.filter(|kind| numbers.is_strange(*kind)).collect();
        if !self.results.strange.is_empty() {
            return Ok(Passage::Wait);
        }
        for (place, column) in &found {
            if column.kind >= FIRST_USER_TYPE {
                numbers.show(&mut body[*place..]);
            }
        }
        let columns = found.iter().map(|(_, column)| *column);
        if header.tag == b'T' {
            let plan = RowPlan::of(numbers, columns, self.asks_for_types());
            return Ok(self.found_rows(header, plan));
        }
        let name = match self.tracker.next() {
            Some(Expect::Step(Some(step))) => match &**step {
                Step::Statement(name) => name.clone(),
                _ => return Ok(Passage::Pass(header)),
            },
            _ => return Ok(Passage::Pass(header)),
        };
        if let Some(statement) = self.tracker.statements_mut().get_mut(&name) {
            // What the client declared is what it is told.
            for (declared, (place, column)) in statement.types().zip(&found) {
                if declared != 0 && declared != numbers.map.client(column.kind) {
                    body[*place..*place + 4].copy_from_slice(&declared.to_be_bytes());
                }
            }
            statement.described.parameters = Some(columns.map(|column| column.kind).collect());
        }
        Ok(Passage::Pass(header))
    }

    /// Whether the statement whose result comes asks the catalogue of types.
    fn asks_for_types(&self) -> bool {
        let of = |name: &[u8]| {
            self.tracker.statements().get(name).is_some_and(|found| found.meaning.is_some())
        };
        match self.tracker.next() {
            Some(Expect::Query(asks)) => *asks,
            Some(Expect::Step(Some(step))) => match &**step {
                Step::Statement(name) => of(name),
                Step::Portal(name, _) | Step::Execute(name) => {
                    self.results.portals.get(name).is_some_and(|known| of(&known.bound.statement))
                }
                Step::Bind(_) => false,
            },
            _ => false,
        }
    }

    /// The rows of what is answered have become known.
    fn found_rows(&mut self, header: Header, plan: RowPlan) -> Passage {
        match self.tracker.next() {
            Some(Expect::Query(_)) => {
                self.results.query = Some(Arc::new(plan.formatted(None)));
            }
            Some(Expect::Step(Some(step))) => match &**step {
                Step::Statement(name) => {
                    let name = name.clone();
                    if let Some(statement) = self.tracker.statements_mut().get_mut(&name) {
                        statement.described.rows = Some(Arc::new(plan));
                    }
                }
                Step::Portal(name, ours) => {
                    // One that SQL has declared was not bound.
                    let portal =
                        self.results.portals.entry(name.clone()).or_insert_with(|| Portal {
                            bound: Bound {
                                portal: name.clone(),
                                statement: Box::default(),
                                formats: None,
                            },
                            rows: None,
                        });
                    portal.rows = Some(Arc::new(plan.formatted(None)));
                    if *ours {
                        return Passage::Drop(header);
                    }
                }
                _ => {}
            },
            _ => {}
        }
        Passage::Pass(header)
    }

    /// What is known of the rows that come now.
    fn coming_rows(&mut self) -> Option<Arc<RowPlan>> {
        match self.tracker.next()? {
            Expect::Query(_) => self.results.query.clone(),
            Expect::Step(Some(step)) => {
                let Step::Execute(name) = &**step else { return None };
                let portal = self.results.portals.get_mut(name)?;
                if portal.rows.is_none() {
                    let statement = self.tracker.statements().get(&portal.bound.statement)?;
                    let plan = statement.described.rows.as_ref()?;
                    portal.rows = Some(Arc::new(plan.formatted(portal.bound.formats.as_deref())));
                }
                portal.rows.clone()
            }
            _ => None,
        }
    }

    fn row(&mut self, header: Header, numbers: &Numbers) -> Result<Passage, End> {
        if self.results.rows.is_none() {
            let Some(plan) = self.coming_rows() else {
                let why = "rows came that were not described, where the servers' type numbers \
                           differ; reconnect";
                return Err(End::Tell(fatal("08P01", why)));
            };
            self.results.rows = Some(Some(plan).filter(|plan| !plan.is_empty()));
        }
        let Some(Some(plan)) = &self.results.rows else { return Ok(Passage::Pass(header)) };
        if !self.down.collect(header)? {
            return Ok(Passage::Wait);
        }
        let new = plan.row(numbers, self.down.body(header)).map_err(|_| {
            End::Tell(fatal("08P01", "a value with type numbers inside cannot be read; reconnect"))
        })?;
        Ok(Passage::Pass(new.map_or(header, |body| self.down.replace(header, &body))))
    }

    /// Types came up that were not there when the server's were read: they are read again.
    pub(super) async fn learn_types(&mut self) -> Result<(), End> {
        let strange = std::mem::take(&mut self.results.strange);
        let config = Arc::clone(&self.gate.config);
        let side = self.server.side;
        let deadline = Instant::now() + CAPTURE_TIME;
        let types = loop {
            let knows = |types: &Types| strange.iter().all(|oid| types.shapes.contains_key(oid));
            match Types::of(&config, side, knows).await {
                Ok(types) => break types,
                Err(fault) if !fault.may_pass() || Instant::now() > deadline => {
                    return Err(fault.into());
                }
                Err(_) => sleep(TRY_AGAIN).await,
            }
        };
        if let Some(numbers) = &mut self.server.numbers {
            numbers.learn(types, &strange);
        }
        Ok(())
    }

    /// The session has a new server: nothing is known of portals there.
    pub(super) fn forget_results(&mut self) {
        self.results = Results::default();
    }
}
