//! The count at the end: every acknowledged write, every row, and who has authority.

mod authority;
mod rows;
mod writes;

use tokio_postgres::{Client, NoTls};

pub(crate) use authority::{Authority, authority};
pub(crate) use rows::{RowsCheck, compare, compare_until_equal};
pub(crate) use writes::{Baseline, WritesCheck, baseline, check_writes};

/// A connection for the checks, with output settings that are the same on both sides.
///
/// # Errors
/// If the database cannot be reached.
pub(crate) async fn connect(url: &str) -> Result<Client, String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .map_err(|e| format!("connecting to check {url}: {}", causes(&e)))?;
    tokio::spawn(async move {
        // What breaks here is told to the query under way.
        connection.await.ok();
    });
    client
        .batch_execute(
            "SET TIME ZONE 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';
             SET extra_float_digits = 3; SET bytea_output = 'hex'; SET search_path = '';
             SET default_transaction_read_only = on",
        )
        .await
        .map_err(|e| format!("preparing to check {url}: {}", causes(&e)))?;
    Ok(client)
}

/// The message of an error and of what caused it.
pub(crate) fn causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
