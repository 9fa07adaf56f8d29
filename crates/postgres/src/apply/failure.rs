//! What went wrong with a batch, in words for the operator. No value is shown but a key's.

use changeover_relay::Stream;

use crate::error::{Error, ErrorKind};
use crate::session::Tag;

/// What a queued execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// The proof of the right to write.
    Fence,
    /// The compare-and-set of the position.
    Progress,
    /// Another statement of ours.
    Own,
    /// Must touch exactly `rows` rows, for the work at this place and those after it.
    Rows {
        /// The place in the work given.
        work: usize,
        /// How many.
        rows: u64,
    },
    /// A truncation.
    Truncate {
        /// The place in the work given.
        work: usize,
    },
    /// The end.
    Commit,
}

/// Says what is wrong with an execution that succeeded.
pub(super) fn judge(
    tag: &Tag,
    queued: &Queued,
    key: impl Fn(usize) -> String,
) -> Result<(), String> {
    match queued {
        Queued::Rows { work, rows } if tag.rows() != *rows => {
            let what = match tag.command() {
                "UPDATE" | "SELECT" => "updated",
                "DELETE" => "deleted",
                _ => "inserted",
            };
            let found = match tag.rows() {
                0 if *rows == 1 => "it is not there".to_owned(),
                n => format!("{n} rows were touched instead of {rows}"),
            };
            Err(format!(
                "{} was {what} on the sending side and cannot be here: {found}. Somebody else \
                 wrote to this side; compare the sides with `changeover verify`",
                key(*work)
            ))
        }
        Queued::Commit if tag.command() != "COMMIT" => {
            Err("the server rolled a batch back that had no failure".to_owned())
        }
        _ => Ok(()),
    }
}

/// Turns a failed flight into what the caller acts on.
pub(super) fn explain(
    error: Error,
    place: Option<&Queued>,
    stream: Stream,
    key: impl Fn(usize) -> String,
) -> Error {
    let into = stream.into();
    if error.kind() != ErrorKind::Server {
        return error.with_context(format!("applying the {stream} stream"));
    }
    let state = error.sqlstate().unwrap_or_default().to_owned();
    let server = error.server_error().cloned();
    let rebuilt = match (place, state.as_str()) {
        (Some(Queued::Fence), "22012") => Error::refused(
            into,
            format!(
                "writing the {stream} stream: the fence is closed or another applier took over; \
                 this one has stopped"
            ),
        ),
        (Some(Queued::Progress), "23505") => Error::refused(
            into,
            format!(
                "writing the {stream} stream: this position is recorded already, so another \
                 applier is at work; this one has stopped"
            ),
        ),
        (_, "P0004") => Error::refused(
            into,
            format!("writing the {stream} stream: a seal refused it (its epoch is another one)"),
        ),
        (Some(Queued::Rows { work, .. } | Queued::Truncate { work }), state)
            if is_lasting(state) =>
        {
            Error::divergence(
                into,
                format!(
                    "a change of {} cannot be applied{}; the stream stops before it. Correct \
                     this side or its schema, then continue",
                    key(*work),
                    named(&error)
                ),
            )
        }
        _ => return error.with_context(format!("applying the {stream} stream")),
    };
    match server {
        Some(server) => rebuilt.with_server(server),
        None => rebuilt,
    }
}

/// The detail of a violated key says which key; that of any other shows a whole row.
fn named(error: &Error) -> String {
    let keyed = matches!(error.sqlstate(), Some("23505" | "23503" | "23P01"));
    let detail = error.server_error().and_then(|server| server.detail.as_deref());
    match (keyed, detail) {
        (true, Some(detail)) => format!(" ({})", detail.trim_end_matches('.')),
        _ => String::new(),
    }
}

/// Whether the same change would fail again: constraints, data, names, rights, missing features.
fn is_lasting(state: &str) -> bool {
    ["0A", "21", "22", "23", "25", "26", "2F", "39", "42", "44", "P0", "XX"]
        .iter()
        .any(|class| state.starts_with(class))
        // A slot that the server gave up.
        || state == "55000"
}

/// Whether trying again with new sessions may help.
pub(crate) fn is_passing(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Connect | ErrorKind::Io | ErrorKind::Timeout | ErrorKind::InTheWay => true,
        ErrorKind::Server => !is_lasting(error.sqlstate().unwrap_or("XX")),
        ErrorKind::Auth
        | ErrorKind::Protocol
        | ErrorKind::Refused
        | ErrorKind::Divergence
        | ErrorKind::Local => false,
    }
}

/// The applier's settings were refused.
pub(super) fn settings(error: Error) -> Error {
    if error.sqlstate() != Some("42501") {
        return error.with_context("preparing the applier's session");
    }
    error.with_context(
        "preparing the applier's session: the role may not set session_replication_role; \
         GRANT SET ON PARAMETER session_replication_role TO it (PostgreSQL 15 and later)",
    )
}
