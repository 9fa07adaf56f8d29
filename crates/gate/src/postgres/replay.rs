//! Making a session anew on another server: settings, role, prepared statements.

use bytes::{BufMut, BytesMut};
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frontend::{self, Target};
use changeover_types::quote_ident;

use super::capture::Captured;
use super::server::{Server, ServerFault};
use super::tracker::{Statement, Statements};
use super::types::Translation;

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

/// Brings `server`, which is fresh, into the captured state.
pub(super) async fn replay(
    server: &mut Server,
    captured: &Captured,
    statements: &Statements,
    translation: &Translation,
) -> Result<(), ReplayFault> {
    // Asynchronous messages of this time are of no interest to the client: it is told afterwards
    // which settings differ.
    let mut aside = BytesMut::new();
    settle(server, captured, &mut aside).await?;
    let statements: Vec<&Statement> = statements.iter().collect();
    // The unnamed statement is last in no particular way: nothing here destroys it.
    for some in statements.chunks(PARSED_AT_A_TIME) {
        let mut request = BytesMut::new();
        for statement in some {
            put_parse(&mut request, statement, translation);
            // Each by itself, so that one that has become invalid does not take others along.
            frontend::sync(&mut request);
        }
        let answers = server.ask(&request, some.len(), &mut aside).await?;
        for answer in answers {
            if let BackendMessage::ErrorResponse(error) = answer {
                // It would have failed on the old server too, at its next use: its table is gone.
                tracing::warn!(
                    sqlstate = error.sqlstate,
                    "a prepared statement is not valid on the new server; its next use will fail"
                );
            }
        }
    }
    Ok(())
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

fn put_parse(out: &mut BytesMut, statement: &Statement, translation: &Translation) {
    let mut body = statement.body().to_vec();
    translation.parse(&mut body, statement.types_at());
    out.put_u8(b'P');
    // Kept statements are short: see `MAX_KEPT_PARSE`.
    out.put_u32(u32::try_from(body.len() + 4).unwrap_or(u32::MAX));
    out.put_slice(&body);
}
