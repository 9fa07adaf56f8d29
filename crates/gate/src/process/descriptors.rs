//! File descriptors: raised to what the system allows, and shared out so that neither gate can take
//! the other's.
//!
//! A client of the HTTP gate has one, each connection to an upstream one, a PostgreSQL session three:
//! its client's, its server's, and around a move the other side's.
//! What the limits of both gates add up to must be there, or a client that connects hangs instead of
//! being told that the gate is full.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::GateError;
use crate::postgres::STRANGERS;

/// Listeners, the control socket, runtimes, the mirror's connections, files.
const OWN: u64 = 256;
/// Fewer for clients than this is no gate.
const LEAST: u64 = 64;

/// What the limits of both gates may come to; changed if they do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Clients of the HTTP gate.
    pub(super) http: u64,
    /// Connections to each upstream, and how many upstreams there are.
    pub(super) upstreams: (u64, u64),
    /// Sessions of the PostgreSQL gate.
    pub(super) postgres: Option<u64>,
}

impl Wanted {
    fn shared_out(&self) -> u64 {
        let upstreams = self.upstreams.0.saturating_mul(self.upstreams.1);
        let sessions = self.postgres.unwrap_or(0).saturating_mul(3);
        self.http.saturating_add(upstreams).saturating_add(sessions)
    }

    fn fixed(&self) -> u64 {
        OWN + self.postgres.map_or(0, |_| STRANGERS as u64)
    }

    fn all(&self) -> u64 {
        self.shared_out().saturating_add(self.fixed())
    }

    /// The same where only so many descriptors are to be had: each limit lowered by the same part.
    fn fitted(self, limit: u64) -> Option<Wanted> {
        let there = limit.saturating_sub(self.fixed());
        if there < LEAST {
            return None;
        }
        let wanted = self.shared_out();
        if wanted <= there {
            return Some(self);
        }
        let part = |of: u64| {
            let lowered = u128::from(of) * u128::from(there) / u128::from(wanted);
            u64::try_from(lowered).unwrap_or(of).max(1)
        };
        Some(Wanted {
            http: part(self.http),
            upstreams: (part(self.upstreams.0), self.upstreams.1),
            postgres: self.postgres.map(part),
        })
    }
}

/// Raises the limit of this process as far as it may, and lowers what does not fit.
///
/// # Errors
/// If there are too few to serve anybody.
pub(super) fn provide(wanted: Wanted) -> Result<Wanted, GateError> {
    let limit = raised();
    let needed = wanted.all();
    let fitted = wanted
        .fitted(limit)
        .ok_or(GateError::Descriptors { limit, needed: wanted.fixed() + LEAST })?;
    if fitted == wanted {
        tracing::info!(limit, needed, "file descriptors suffice for the limits of all gates");
    } else {
        let (each, _) = fitted.upstreams;
        tracing::warn!(
            limit,
            needed,
            connections = fitted.http,
            upstream_connections = each,
            postgres_clients = fitted.postgres,
            "file descriptors do not suffice for the limits of all gates, which are lowered: raise \
             the hard limit (ulimit -Hn, LimitNOFILE=) or lower gates.http.limits and gates.postgres.limits"
        );
    }
    Ok(fitted)
}

/// The limit after it was raised; `None` in the system's words is no limit.
fn raised() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => {
            tracing::info!(from = current, to = maximum, "the limit of file descriptors is raised");
            maximum.unwrap_or(u64::MAX)
        }
        Err(error) => {
            tracing::warn!(%error, "the limit of file descriptors cannot be raised");
            current.unwrap_or(u64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_lowered_together() {
        let wanted = Wanted { http: 10_000, upstreams: (1000, 4), postgres: Some(1000) };
        assert_eq!(wanted.all(), 10_000 + 4000 + 3000 + 512);
        assert_eq!(wanted.fitted(20_000), Some(wanted));
        assert_eq!(wanted.fitted(wanted.all()), Some(wanted));
        for limit in [576, 1024, 4096, 17_511] {
            let fitted = wanted.fitted(limit).unwrap();
            assert!(fitted.all() <= limit, "{limit}: {fitted:?}");
            assert!(fitted.http >= 1 && fitted.upstreams.0 >= 1 && fitted.postgres >= Some(1));
        }
        assert_eq!(wanted.fitted(575), None);
        let alone = Wanted { postgres: None, ..wanted };
        assert!(alone.fitted(320).is_some() && alone.fitted(319).is_none());
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = raised();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert_eq!(current.unwrap_or(u64::MAX), limit);
    }
}
