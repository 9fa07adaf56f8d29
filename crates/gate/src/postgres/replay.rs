//! Making a session anew on another server: settings, role, prepared statements.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frontend::{self, Target};
use changeover_types::quote_ident;

use super::capture::Captured;
use super::server::{Server, ServerFault};
use super::tracker::{Described, Statement, Statements};
use super::types::{self, Column, Meaning, Numbers, RowPlan};

/// Statements parsed per round trip: their replies fit every socket's buffer.
const PARSED_AT_A_TIME: usize = 64;

/// Our own prepared statement on the new server; closed again.
const NAME: &str = "changeover_replay";

/// Why a session could not be made anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayFault {
    /// The connection.
    #[error(transparent)]
    Server(#[from] ServerFault),
    /// The server refused a part of the state.
    #[error("{0}")]
    Refused(String),
}

/// What is known of statements where type numbers are translated, by the statements' names.
pub(super) type DescribedByName = BTreeMap<Box<[u8]>, (Option<Arc<Meaning>>, Described)>;

/// Brings `server`, which is fresh, into the captured state.
pub(super) async fn replay(
    server: &mut Server,
    captured: &Captured,
    statements: &Statements,
) -> Result<DescribedByName, ReplayFault> {
    let numbers = server.numbers.clone();
    let mut described = DescribedByName::new();
    // Asynchronous messages of this time are of no interest to the client: it is told afterwards
    // which settings differ.
    let mut aside = BytesMut::new();
    settle(server, captured, &mut aside).await?;
    let statements: Vec<&Statement> = statements.iter().collect();
    // The unnamed statement is last in no particular way: nothing here destroys it.
    for some in statements.chunks(PARSED_AT_A_TIME) {
        let mut request = BytesMut::new();
        let mut meanings = Vec::new();
        for statement in some {
            let meaning = numbers.as_ref().and_then(|_| Meaning::of(statement.query()));
            put_parse(&mut request, statement, numbers.as_ref(), meaning.as_ref());
            meanings.push(meaning.map(Arc::new));
            // Each by itself, so that one that has become invalid does not take others along.
            frontend::sync(&mut request);
        }
        let answers = server.ask(&request, some.len(), &mut aside).await?;
        let answers = answers.split(|answer| matches!(answer, BackendMessage::ReadyForQuery(_)));
        for ((statement, meaning), answers) in some.iter().zip(meanings).zip(answers) {
            let mut found = Described::default();
            for answer in answers {
                if let BackendMessage::ErrorResponse(error) = answer {
                    // It would have failed on the old server too, at its next use: its table is
                    // gone.
                    tracing::warn!(
                        sqlstate = error.sqlstate,
                        "a prepared statement is not valid on the new server; its next use will \
                         fail"
                    );
                }
                if let Some(numbers) = &numbers {
                    describe(&mut found, numbers, meaning.is_some(), answer);
                }
            }
            if numbers.is_some() {
                described.insert(statement.name().into(), (meaning, found));
            }
        }
    }
    Ok(described)
}

/// Takes in what the server says of a statement.
fn describe(found: &mut Described, numbers: &Numbers, asks: bool, answer: &BackendMessage) {
    match answer {
        BackendMessage::ParameterDescription(types) => {
            found.parameters = Some(types.as_slice().into());
        }
        BackendMessage::RowDescription(fields) => {
            let columns = fields.iter().map(|field| Column {
                table: field.table_oid,
                attribute: field.column,
                kind: field.type_oid,
                format: 0,
            });
            found.rows = Some(Arc::new(RowPlan::of(numbers, columns, asks)));
        }
        BackendMessage::NoData => found.rows = Some(Arc::default()),
        _ => {}
    }
}

async fn settle(
    server: &mut Server,
    captured: &Captured,
    aside: &mut BytesMut,
) -> Result<(), ReplayFault> {
    let mut request = BytesMut::new();
    if !captured.settings.is_empty() {
        let sql = "select pg_catalog.set_config($1, $2, false)";
        frontend::parse(&mut request, NAME, sql, &[25, 25]);
        for (name, value) in &captured.settings {
            frontend::bind(&mut request, "", NAME, &[Some(name.as_bytes()), Some(value)]);
            frontend::execute(&mut request, "", 0);
        }
        frontend::close(&mut request, Target::Statement, NAME);
        frontend::sync(&mut request);
        refuse_errors(server.ask(&request, 1, aside).await?, "its settings")?;
    }
    // Last, since a role may lack the right to make the settings.
    let mut roles = Vec::new();
    roles.extend(captured.session_user.as_ref().map(|user| ("session authorization", user)));
    roles.extend(captured.role.as_ref().map(|role| ("role", role)));
    for (what, name) in roles {
        request.clear();
        frontend::query(&mut request, &format!("set {what} {}", quote_ident(name)));
        refuse_errors(server.ask(&request, 1, aside).await?, what)?;
    }
    Ok(())
}

fn refuse_errors(answers: Vec<BackendMessage>, what: &str) -> Result<(), ReplayFault> {
    for answer in answers {
        if let BackendMessage::ErrorResponse(error) = answer {
            return Err(ReplayFault::Refused(format!(
                "the new server refused {what}: {} ({})",
                error.message, error.sqlstate
            )));
        }
    }
    Ok(())
}

fn put_parse(
    out: &mut BytesMut,
    statement: &Statement,
    numbers: Option<&Numbers>,
    meaning: Option<&Meaning>,
) {
    let mut body = statement.body().to_vec();
    if let Some(numbers) = numbers {
        types::parse(numbers, meaning, &mut body, statement.types_at());
    }
    put(out, b'P', &body);
    if numbers.is_some() {
        // What it asks for and gives is not said again to the client, but must be known.
        put(out, b'D', &[b"S", statement.name(), b"\0"].concat());
    }
}

fn put(out: &mut BytesMut, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    // Kept statements are short: see `MAX_KEPT_PARSE`.
    out.put_u32(u32::try_from(body.len() + 4).unwrap_or(u32::MAX));
    out.put_slice(body);
}
