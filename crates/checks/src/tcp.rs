//! Whether an address accepts a connection.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// What is wrong with an address that must accept a connection.
pub async fn connect(address: &str, within: Duration) -> Vec<String> {
    match timeout(within, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Vec::new(),
        Ok(Err(error)) => vec![format!("cannot connect: {error}")],
        Err(_) => vec![format!("no connection within {} ms", within.as_millis())],
    }
}
