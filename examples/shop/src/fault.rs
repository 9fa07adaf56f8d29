//! Faults to find: what a bad release of the shop does.
//!
//! They show only under the clients' own traffic, as the worst ones do: a check that asks the shop
//! directly sees nothing of them.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum;

use crate::answer::Refusal;
use crate::api::Shop;

/// What is wrong with this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// One request in a hundred fails before it has done anything.
    Broken,
    /// Every request takes 40 % longer.
    Slow,
}

const FAILS: f64 = 0.01;
const LONGER: f64 = 0.4;

/// Does it to a request.
pub(crate) async fn show(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let from_a_client = request.headers().contains_key("x-forwarded-for");
    match shop.fault.filter(|_| from_a_client) {
        None => next.run(request).await,
        Some(Fault::Broken) if rand::random_bool(FAILS) => {
            Refusal::Broken("this release is broken".to_owned()).into_response()
        }
        Some(Fault::Broken) => next.run(request).await,
        Some(Fault::Slow) => {
            let begun = Instant::now();
            let response = next.run(request).await;
            let more = begun.elapsed().mul_f64(LONGER);
            // The runtime's timer counts in whole milliseconds, which is more than 40 % of most.
            tokio::task::spawn_blocking(move || std::thread::sleep(more)).await.ok();
            response
        }
    }
}
