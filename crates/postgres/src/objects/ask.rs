//! Asking and telling, the way this part of the crate does it: constant SQL, everything as text.

use changeover_types::Side;

use crate::error::{Error, ErrorKind};
use crate::session::Session;

/// A result's rows as text.
pub(crate) async fn rows(
    session: &mut Session,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, Error> {
    let found = session.query(sql).await?;
    let width = found.columns().len();
    let cells =
        |row: &crate::session::Row| (0..width).map(|at| row.get(at).map(str::to_owned)).collect();
    Ok(found.iter().map(cells).collect())
}

/// The first column of the first row; `None` if there is no row, or it is NULL.
pub(crate) async fn value(session: &mut Session, sql: &str) -> Result<Option<String>, Error> {
    Ok(session.query(sql).await?.first().and_then(|row| row.get(0)).map(str::to_owned))
}

/// Runs statements for their effect.
pub(crate) async fn run(session: &mut Session, sql: &str) -> Result<(), Error> {
    session.execute(sql).await.map(drop)
}

/// Something is not as we left it, or not as it must be.
pub(crate) fn foreign(side: Side, what: impl Into<String>) -> Error {
    Error::refused(side, what)
}

/// Whether the failure of a message that ended in COMMIT proves that nothing was committed.
///
/// An ERROR ends the message before COMMIT, or is COMMIT's own. `25P03` is fatal but can only
/// have been sent while the session idled in its transaction, before our message.
pub(crate) fn proves_no_commit(e: &Error) -> bool {
    e.sqlstate() == Some("25P03")
        || (e.kind() == ErrorKind::Server && !e.is_in_doubt())
        || matches!(e.kind(), ErrorKind::Refused | ErrorKind::Local)
}
