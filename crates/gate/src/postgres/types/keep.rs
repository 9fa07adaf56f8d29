//! The task that keeps the numbers which clients are shown: it follows authority, on the control
//! thread, for what it finds out is written to disk.

use std::sync::Arc;
use std::time::Duration;

use changeover_routing::HoldView;
use changeover_types::Side;

use super::super::config::{PostgresGateConfig, ServerConfig};
use super::super::server::ServerFault;
use super::shown::{Shown, ShownFile};
use super::{Numbers, Types};
use crate::state::Shared;

/// Between two tries to read the catalogue of the side that has authority.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// A session waits so long at a time for numbers.
const WAIT_TIME: Duration = Duration::from_secs(1);

/// What sessions on the side that has authority translate by; `None` if all numbers agree.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) side: Side,
    pub(crate) numbers: Option<Numbers>,
}

/// What a session on `side` translates by, once it is known.
///
/// # Errors
/// [`ServerFault::Numbers`] if it is not known soon: authority may have gone on, or the catalogue
/// cannot be read.
pub(crate) async fn numbers_for(
    config: &PostgresGateConfig,
    side: Side,
) -> Result<Option<Numbers>, ServerFault> {
    let mut published = config.registry.published.subscribe();
    let ours = |published: &Option<Published>| published.as_ref().is_some_and(|p| p.side == side);
    if !ours(&published.borrow()) {
        config.registry.wanted.notify_one();
    }
    let found = tokio::time::timeout(WAIT_TIME, published.wait_for(ours)).await;
    let found = found.map_err(|_| ServerFault::Numbers(side))?;
    let found = found.map_err(|_| ServerFault::Numbers(side))?;
    Ok(found.as_ref().and_then(|published| published.numbers.clone()))
}

/// Follows authority and publishes what sessions translate by. Never returns; the control thread
/// runs it once.
pub async fn keep_numbers(config: Arc<PostgresGateConfig>, shared: Arc<Shared>) {
    Keeper::new(config, shared).run().await;
}

struct Keeper {
    config: Arc<PostgresGateConfig>,
    shared: Arc<Shared>,
    file: ShownFile,
    shown: Shown,
    published: Option<Side>,
    /// Both sides' types, read while the seal is under way: no client works then.
    ahead: [Option<Arc<Types>>; 2],
    /// Sides whose names were read by this process.
    read: [bool; 2],
}

fn place(side: Side) -> usize {
    usize::from(side == Side::Target)
}

impl Keeper {
    fn new(config: Arc<PostgresGateConfig>, shared: Arc<Shared>) -> Keeper {
        let name =
            |server: &ServerConfig| format!("{}:{}/{}", server.host, server.port, server.database);
        let between = format!("{} {}", name(&config.source), name(&config.target));
        let file = ShownFile::new(shared.state_dir(), between);
        let shown = file.read().unwrap_or_else(|error| {
            let path = file.path();
            tracing::error!(path = %path.display(), %error, "cannot read the type numbers that \
                clients were shown; they are found anew from both catalogues");
            None
        });
        let shown = shown.unwrap_or_default();
        let (published, ahead, read) = (None, [None, None], [false, false]);
        Keeper { config, shared, file, shown, published, ahead, read }
    }

    async fn run(mut self) {
        let mut hold = self.shared.hold();
        loop {
            let view = *hold.borrow_and_update();
            let side = self.shared.authority().filter(|_| view != HoldView::Unsure);
            let sealing = matches!(view, HoldView::Held { sealing: Some(_), .. });
            let mut again = false;
            if let Some(side) = side.filter(|side| self.published != Some(*side)) {
                if let Err(fault) = self.follow(side).await {
                    let error = fault.for_client();
                    tracing::warn!(%side, %error, "cannot read the types; clients wait");
                    again = true;
                }
            } else if sealing && self.ahead.iter().all(Option::is_none) {
                self.read_ahead().await;
            } else if view == HoldView::Open {
                self.ahead = [None, None];
                if let Some(side) = side.filter(|side| !self.read[place(*side)]) {
                    self.remember(side).await;
                }
            }
            let config = Arc::clone(&self.config);
            tokio::select! {
                changed = hold.changed() => if changed.is_err() { return },
                () = config.registry.wanted.notified() => {}
                () = tokio::time::sleep(TRY_AGAIN), if again => {}
            }
        }
    }

    async fn types(&self, side: Side) -> Result<Arc<Types>, ServerFault> {
        if let Some(types) = &self.ahead[place(side)] {
            return Ok(Arc::clone(types));
        }
        let types = Arc::new(Types::read(&self.config, side).await?);
        self.config.registry.set_types(side, Arc::clone(&types));
        Ok(types)
    }

    async fn read_ahead(&mut self) {
        let (source, target) = tokio::join!(self.types(Side::Source), self.types(Side::Target));
        // One that failed is read when it is needed, and said then.
        self.ahead = [source.ok(), target.ok()];
    }

    /// `side` has authority: finds what its sessions translate by.
    async fn follow(&mut self, side: Side) -> Result<(), ServerFault> {
        let turns = self.shown.side != side;
        let mut types = None;
        if turns {
            let (theirs, before) = tokio::join!(self.types(side), self.types(side.other()));
            let there = theirs?;
            match before {
                Ok(before) => self.shown.of_mut(side.other()).names = before.names.clone(),
                Err(fault) => tracing::warn!(
                    side = %side.other(), error = %fault.for_client(), known =
                    self.shown.of(side.other()).names.len(), "cannot read the types that clients \
                    knew; those that were read last are taken"
                ),
            }
            self.shown.turn(there.names.clone());
            types = Some(there);
        }
        let map = &self.shown.of(side).map;
        let numbers = match map.is_identity() {
            true => None,
            false => {
                let types = match types {
                    Some(types) => types,
                    None => self.types(side).await?,
                };
                tracing::info!(%side, differ = map.pairs().count(), "type numbers are translated");
                Some(Numbers { map: Arc::new(map.clone()), types })
            }
        };
        self.config.registry.published.send_replace(Some(Published { side, numbers }));
        self.published = Some(side);
        self.ahead = [None, None];
        if turns {
            self.read = [true, true];
            self.write();
        } else {
            self.remember(side).await;
        }
        Ok(())
    }

    /// Keeps the names of the side in use, for a time when it cannot be asked.
    async fn remember(&mut self, side: Side) {
        match Types::of(&self.config, side, Types::is_fresh).await {
            Ok(types) => {
                self.read[place(side)] = true;
                if self.shown.of(side).names != types.names {
                    self.shown.of_mut(side).names = types.names.clone();
                    self.write();
                }
            }
            Err(fault) => {
                tracing::warn!(%side, error = %fault.for_client(), "cannot read the types yet");
            }
        }
    }

    fn write(&self) {
        if let Err(error) = self.file.write(&self.shown) {
            let path = self.file.path();
            tracing::error!(path = %path.display(), %error, "cannot keep the type numbers that \
                clients are shown; after a restart they are found anew from both catalogues");
        }
    }
}
