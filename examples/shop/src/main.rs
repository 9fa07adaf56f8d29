//! The example service that moves: a small shop over HTTP and PostgreSQL.
//!
//! It is written as an ordinary service, knows nothing of Changeover, and retries nothing: whatever
//! goes wrong below it reaches its client, so that the demo can count it.

mod answer;
mod api;
mod fault;
mod orders;
mod pool;
mod seed;
mod statements;
mod user_types;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::Shop;
use crate::fault::Fault;
use crate::pool::Pool;

/// What the command line and the environment say.
#[derive(Debug, Parser)]
#[command(about, disable_version_flag = true)]
struct Options {
    /// Where to serve HTTP.
    #[arg(long, env = "SHOP_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The database; better in the environment, where `ps` does not show a password.
    #[arg(long, env = "SHOP_DATABASE_URL", hide_env_values = true)]
    database: String,
    /// Which version of the shop this is; every answer carries it in `x-shop-version`.
    #[arg(id = "shop_version", long = "version", env = "SHOP_VERSION", default_value = "v1")]
    version: String,
    /// Connections to the database.
    #[arg(long, env = "SHOP_POOL", default_value_t = 16)]
    pool: usize,
    /// Be a bad release.
    #[arg(long, env = "SHOP_FAULT")]
    fault: Option<Fault>,
    /// Make the schema and its rows in an empty database, then leave.
    #[arg(long)]
    load: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = if options.load { load(&options).await } else { serve(options).await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("changeover-shop: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn load(options: &Options) -> Result<(), String> {
    let loaded = seed::load(&options.database).await?;
    println!("{} rows in {} tables, {:.1} s", loaded.rows, loaded.tables, loaded.seconds);
    Ok(())
}

async fn serve(options: Options) -> Result<(), String> {
    let pool = Pool::new(&options.database, options.pool, &options.version)?;
    let shop = Arc::new(Shop { pool, version: options.version, fault: options.fault });
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|e| format!("listening on {}: {e}", options.listen))?;
    let mut asked_to_end =
        signal(SignalKind::terminate()).map_err(|e| format!("waiting for SIGTERM: {e}"))?;
    axum::serve(listener, api::routes(shop))
        .with_graceful_shutdown(async move {
            asked_to_end.recv().await;
        })
        .await
        .map_err(|e| format!("serving HTTP on {}: {e}", options.listen))
}
