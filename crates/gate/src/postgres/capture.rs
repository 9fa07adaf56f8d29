//! Reading a session's state off its server at a safe boundary, by a hidden question.
//!
//! The question goes through a named prepared statement, for a simple query would destroy the
//! client's unnamed one. What the client set is read from the server, not guessed from traffic:
//! a `SELECT` can hide a `set_config`.

use std::collections::BTreeSet;

use bytes::BytesMut;
use changeover_pgwire::backend::{BackendMessage, DataRow};
use changeover_pgwire::frontend::{self, Target};
use changeover_types::quote_literal;

use super::server::{Server, ServerFault};

/// Our own prepared statement on the client's server; gone again after the question.
const NAME: &str = "changeover_capture";

/// A cancel request of the client may hit our question; then it is asked again.
const TRIES: usize = 3;

/// All there is to know, one row each: kind, name, value. It runs in any role, with any search
/// path.
const QUERY: &str = "\
select 'setting', name, setting from pg_catalog.pg_settings \
  where source = 'session' \
union all select 'role', pg_catalog.current_setting('role'), '' \
union all select 'session user', session_user::pg_catalog.text, '' \
union all select 'statement', name, '' from pg_catalog.pg_prepared_statements where not from_sql \
union all select 'pin', 'prepared by SQL: ' || name, '' \
  from pg_catalog.pg_prepared_statements where from_sql \
union all select 'pin', 'cursor with hold: ' || name, '' \
  from pg_catalog.pg_cursors where is_holdable \
union all select 'pin', 'listens: ' || c, '' from pg_catalog.pg_listening_channels() c \
union all select 'pin', 'temporary tables', '' where pg_catalog.pg_my_temp_schema() <> 0 \
  and exists (select from pg_catalog.pg_class \
    where relnamespace = pg_catalog.pg_my_temp_schema()) \
union all select 'pin', 'advisory locks', '' where exists (select from pg_catalog.pg_locks \
    where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid())";

/// A session's state, as far as a server can tell it.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// Settings the client made, as `set_config` takes them.
    /// What came with the start-up packet is not here: it is sent in the new server's packet too,
    /// so that `RESET` and `DISCARD ALL` go back to it there as well.
    pub(super) settings: Vec<(String, Vec<u8>)>,
    /// `SET ROLE`, if it is in force.
    pub(super) role: Option<String>,
    /// `SET SESSION AUTHORIZATION`, if it is in force.
    pub(super) session_user: Option<String>,
    /// Protocol-level prepared statements the server still holds.
    pub(super) statements: BTreeSet<Vec<u8>>,
    /// Why the session cannot be moved.
    pub(super) pins: BTreeSet<String>,
}

/// Asks; `watched` are custom settings, which the server lists nowhere.
pub(super) async fn capture(
    server: &mut Server,
    user: &str,
    watched: &BTreeSet<String>,
    aside: &mut BytesMut,
) -> Result<Captured, ServerFault> {
    let mut request = BytesMut::new();
    frontend::parse(&mut request, NAME, &question(watched), &[]);
    frontend::bind(&mut request, "", NAME, &[]);
    frontend::execute(&mut request, "", 0);
    frontend::close(&mut request, Target::Statement, NAME);
    frontend::sync(&mut request);
    let mut tries = 0;
    loop {
        tries += 1;
        let answers = server.ask(&request, 1, aside).await?;
        let error = answers.iter().find_map(|answer| match answer {
            BackendMessage::ErrorResponse(error) => Some(error),
            _ => None,
        });
        let Some(error) = error else { return Ok(read(&answers, user)) };
        // The statement may be there already: parsing it again, now or later, must not fail.
        let mut close = BytesMut::new();
        frontend::close(&mut close, Target::Statement, NAME);
        frontend::sync(&mut close);
        server.ask(&close, 1, aside).await?;
        if error.sqlstate != "57014" || tries >= TRIES {
            return Err(ServerFault::Said(Box::new(error.clone())));
        }
    }
}

fn question(watched: &BTreeSet<String>) -> String {
    let mut query = QUERY.to_owned();
    for name in watched {
        let name = quote_literal(name);
        query.push_str(&format!(
            " union all select 'setting', {name}, pg_catalog.current_setting({name}, true) \
              where pg_catalog.current_setting({name}, true) is not null"
        ));
    }
    query
}

fn read(answers: &[BackendMessage], user: &str) -> Captured {
    let mut captured = Captured::default();
    for answer in answers {
        let BackendMessage::DataRow(row) = answer else { continue };
        let (kind, name) = (text(row, 0), text(row, 1));
        match kind.as_str() {
            "setting" => {
                captured.settings.retain(|(known, _)| *known != name);
                let value = row.get(2).unwrap_or_default().to_vec();
                // The values that follow are in this encoding, so it comes first.
                let at = if name == "client_encoding" { 0 } else { captured.settings.len() };
                captured.settings.insert(at, (name, value));
            }
            "role" if name != "none" => captured.role = Some(name),
            "session user" if name != user => captured.session_user = Some(name),
            "statement" if name != NAME => {
                captured.statements.insert(row.get(1).unwrap_or_default().to_vec());
            }
            "pin" => {
                captured.pins.insert(name);
            }
            _ => {}
        }
    }
    captured
}

fn text(row: &DataRow, column: usize) -> String {
    row.get(column).map(|cell| String::from_utf8_lossy(cell).into_owned()).unwrap_or_default()
}
