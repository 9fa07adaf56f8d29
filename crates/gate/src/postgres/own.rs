//! Questions that the gate asks as its own role: who has authority, which types there are, which
//! settings the database's code names.

use std::time::Duration;

use bytes::BytesMut;
use changeover_pgwire::backend::{BackendMessage, DataRow};
use changeover_pgwire::frontend;
use changeover_types::Side;

use super::config::PostgresGateConfig;
use super::server::{Server, ServerFault};

/// A server that has not answered by then counts as unreachable, this time.
const WITHIN: Duration = Duration::from_secs(5);

/// The rows of one query, on a connection for it alone.
///
/// # Errors
/// What the server says, or why it cannot be asked within five seconds.
pub(super) async fn rows(
    config: &PostgresGateConfig,
    side: Side,
    sql: &str,
) -> Result<Vec<DataRow>, ServerFault> {
    let server = config.server(side);
    let parameters = [
        ("user", server.user.as_str()),
        ("application_name", "changeover gate"),
        ("client_encoding", "UTF8"),
        ("search_path", ""),
        ("statement_timeout", "5s"),
        ("default_transaction_isolation", "read committed"),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let asked = async {
        let mut server =
            Server::connect(config, side, &parameters, server.password.as_ref(), None).await?;
        let mut request = BytesMut::new();
        frontend::query(&mut request, sql);
        let answers = server.ask(&request, 1, &mut BytesMut::new()).await?;
        server.say_farewell();
        let mut rows = Vec::new();
        for answer in answers {
            match answer {
                BackendMessage::ErrorResponse(error) => {
                    return Err(ServerFault::Said(Box::new(error)));
                }
                BackendMessage::DataRow(row) => rows.push(row),
                _ => {}
            }
        }
        Ok(rows)
    };
    tokio::time::timeout(WITHIN, asked).await.map_err(|_| ServerFault::Late(side, WITHIN))?
}

/// A column's text; `None` for a null.
pub(super) fn text(row: &DataRow, column: usize) -> Option<&str> {
    row.get(column).and_then(|cell| std::str::from_utf8(cell).ok())
}
