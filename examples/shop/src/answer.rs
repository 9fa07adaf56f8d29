//! What a request can end in, and what its client may conclude from it.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

/// Set to `unknown` on a write's answer when nobody can say whether it was committed.
const OUTCOME: HeaderName = HeaderName::from_static("x-shop-outcome");

/// Why a request did not get what it asked for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such row.
    NotFound,
    /// The request itself cannot be right.
    Invalid(String),
    /// A write with this id is there already: somebody sent it twice.
    Duplicate,
    /// No connection to the database could be had; nothing was sent.
    NoDatabase(String),
    /// The database refused or failed; nothing was committed.
    Database(String),
    /// This release fails here; nothing was done.
    Broken(String),
    /// The connection broke while a write was under way: it may have been committed.
    Unknown(String),
}

/// Sorts an error of a statement that may have been a write.
impl From<tokio_postgres::Error> for Refusal {
    fn from(e: tokio_postgres::Error) -> Self {
        match e.as_db_error() {
            Some(db) if *db.code() == SqlState::UNIQUE_VIOLATION => Refusal::Duplicate,
            // FATAL and PANIC end the session, perhaps after the commit record was written.
            Some(db) if db.severity() == "ERROR" => {
                Refusal::Database(format!("{}: {}", db.code().code(), db.message()))
            }
            Some(db) => Refusal::Unknown(format!("{}: {}", db.code().code(), db.message())),
            None => Refusal::Unknown(with_causes(&e)),
        }
    }
}

/// The message of an error and of what caused it, for `Display` alone hides the cause.
pub(crate) fn with_causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, known, why) = match self {
            Refusal::NotFound => (StatusCode::NOT_FOUND, true, "not found".to_owned()),
            Refusal::Invalid(why) => (StatusCode::UNPROCESSABLE_ENTITY, true, why),
            Refusal::Duplicate => (StatusCode::CONFLICT, true, "this id was used before".into()),
            Refusal::NoDatabase(why) => (StatusCode::SERVICE_UNAVAILABLE, true, why),
            Refusal::Database(why) => (StatusCode::INTERNAL_SERVER_ERROR, true, why),
            Refusal::Broken(why) => (StatusCode::INTERNAL_SERVER_ERROR, true, why),
            Refusal::Unknown(why) => (StatusCode::INTERNAL_SERVER_ERROR, false, why),
        };
        if status.is_server_error() {
            eprintln!("{status}: {why}");
        }
        let mut response = (status, Json(json!({ "error": why }))).into_response();
        if !known {
            response.headers_mut().insert(OUTCOME, HeaderValue::from_static("unknown"));
        }
        response
    }
}

/// What a handler gives back.
pub(crate) type Answer = Result<Json<Value>, Refusal>;
