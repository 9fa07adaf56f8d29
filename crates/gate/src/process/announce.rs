//! What a gate says when it begins: where it listens, where it leads, and who answers there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use changeover_types::Side;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::postgres::PostgresGateConfig;
use crate::state::{HttpGateConfig, Shared, Upstream};

/// Whoever does not take a connection within this does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Says it, and asks every place it leads to; clients are served meanwhile.
pub(super) async fn announce(
    shared: Arc<Shared>,
    http: Option<(Arc<HttpGateConfig>, SocketAddr)>,
    postgres: Option<(Arc<PostgresGateConfig>, SocketAddr)>,
) {
    let plan = shared.migration();
    let mut places = JoinSet::new();
    if let Some((config, address)) = &http {
        tracing::info!(%plan, %address, limits = ?config.limits, "the HTTP gate listens");
        for (side, upstreams) in [(Side::Source, &config.source), (Side::Target, &config.target)] {
            for upstream in upstreams {
                places.spawn(ask("HTTP", side, upstream.clone()));
            }
        }
    }
    if let Some((config, address)) = &postgres {
        let clients = config.max_clients;
        tracing::info!(%plan, %address, clients, "the PostgreSQL gate listens");
        for side in [Side::Source, Side::Target] {
            let server = config.server(side);
            let place = Upstream { host: server.host.clone(), port: server.port };
            places.spawn(ask("PostgreSQL", side, place));
        }
    }
    match shared.route() {
        Some(route) => tracing::info!(
            %plan,
            authority = %route.authority,
            target_permille = route.target_permille,
            "the route is that of the last order, or of a beginning"
        ),
        None => tracing::info!(%plan, "no route yet: the databases are asked who has authority"),
    }
    while places.join_next().await.is_some() {}
}

async fn ask(gate: &'static str, side: Side, place: Upstream) {
    let connecting = TcpStream::connect((place.host.as_str(), place.port));
    match tokio::time::timeout(ANSWER_WITHIN, connecting).await {
        Ok(Ok(_)) => tracing::info!(gate, %side, %place, "answers"),
        Ok(Err(error)) => tracing::warn!(gate, %side, %place, %error, "does not answer"),
        Err(_) => tracing::warn!(gate, %side, %place, within = ?ANSWER_WITHIN, "does not answer"),
    }
}
