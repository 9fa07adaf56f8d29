//! Makes the schema and its rows in an empty database.
//!
//! The SQL files are split at lines `-- == name ==`; sections of one kind are independent and
//! run side by side.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio_postgres::{Client, NoTls};

use crate::answer::with_causes;

const SCHEMA: &str = include_str!("../schema.sql");
const DATA: &str = include_str!("../data.sql");

/// How many sections run at the same time.
const WORKERS: usize = 3;

/// What was made.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) rows: i64,
    pub(crate) tables: i64,
    pub(crate) seconds: f64,
}

/// Tables, rows, then keys and everything that hangs on them.
///
/// # Errors
/// Says which section failed and what the server said.
pub(crate) async fn load(url: &str) -> Result<Loaded, String> {
    let started = Instant::now();
    run(url, sections(SCHEMA, |name| name == "tables")).await?;
    run(url, sections(DATA, |_| true)).await?;
    run(url, sections(SCHEMA, |name| name == "keys")).await?;
    run(url, sections(SCHEMA, |name| name == "rest")).await?;
    run(url, sections(SCHEMA, |name| name == "grants")).await?;
    let client = connect(url).await?;
    client.batch_execute("ANALYZE").await.map_err(|e| with_causes(&e))?;
    let row = client
        .query_one(
            "SELECT sum(reltuples)::bigint, count(*) FROM pg_class
             WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, 'billing'::regnamespace)",
            &[],
        )
        .await
        .map_err(|e| with_causes(&e))?;
    let read = |e: tokio_postgres::Error| with_causes(&e);
    Ok(Loaded {
        rows: row.try_get(0).map_err(read)?,
        tables: row.try_get(1).map_err(read)?,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// A file's sections whose name is wanted, as (name, SQL).
fn sections(file: &str, wanted: impl Fn(&str) -> bool) -> VecDeque<(String, String)> {
    let mut found: VecDeque<(String, String)> = VecDeque::new();
    for line in file.lines() {
        let name = line.strip_prefix("-- == ").and_then(|rest| rest.strip_suffix(" =="));
        match (name, found.back_mut()) {
            (Some(name), _) => found.push_back((name.to_owned(), String::new())),
            (None, Some((_, sql))) => {
                sql.push_str(line);
                sql.push('\n');
            }
            (None, None) => {}
        }
    }
    found.retain(|(name, _)| wanted(name));
    found
}

async fn run(url: &str, sections: VecDeque<(String, String)>) -> Result<(), String> {
    let left = Arc::new(Mutex::new(sections));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (url, left) = (url.to_owned(), left.clone());
        workers.push(tokio::spawn(async move { work(&url, &left).await }));
    }
    for worker in workers {
        worker.await.map_err(|e| format!("loading: {e}"))??;
    }
    Ok(())
}

async fn work(url: &str, left: &Mutex<VecDeque<(String, String)>>) -> Result<(), String> {
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let Some(mut section) = next() else { return Ok(()) };
    let client = connect(url).await?;
    client
        .batch_execute("SET synchronous_commit = off; SET maintenance_work_mem = '128MB'")
        .await
        .map_err(|e| with_causes(&e))?;
    loop {
        let (name, sql) = section;
        client
            .batch_execute(&sql)
            .await
            .map_err(|e| format!("section `{name}`: {}", with_causes(&e)))?;
        match next() {
            Some(following) => section = following,
            None => return Ok(()),
        }
    }
}

async fn connect(url: &str) -> Result<Client, String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .map_err(|e| format!("connecting to the database: {}", with_causes(&e)))?;
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            eprintln!("the database connection broke: {}", with_causes(&e));
        }
    });
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_have_the_sections_the_loader_asks_for() {
        for name in ["tables", "keys", "rest", "grants"] {
            assert!(!sections(SCHEMA, |n| n == name).is_empty(), "{name}");
        }
        assert!(sections(DATA, |_| true).len() > 12);
        assert!(sections(SCHEMA, |n| n == "keys").len() > 4);
    }
}
