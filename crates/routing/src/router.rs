//! The gate's state: the highest order obeyed, the route, and the present hold.
//!
//! A hot machine: [`Router::handle_order`] and [`Router::handle_authority`] take what happens,
//! [`Router::poll`] takes time; after either, [`Router::view`] and [`Router::route`] say how new
//! work is treated and [`Router::wake`] when to poll again. A shell tries an order on a clone, makes
//! the outcome durable, and only then adopts it.

use std::sync::Arc;
use std::time::Duration;

use changeover_types::{Epoch, RouteName, Share, Side, Split, Tick};
use serde::{Deserialize, Serialize};

use crate::split::PERMILLE_ALL;
use crate::{HoldStatus, Order, OrderNumber, Readings, Route, RouteTable};

/// A seal that the run announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealing {
    /// The attempt.
    pub epoch: Epoch,
    /// The side that gives authority away.
    pub from: Side,
}

/// What a gate must find again after it died. Durable before an order is acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The highest number obeyed.
    pub obeyed: OrderNumber,
    /// The route.
    pub route: Option<Route>,
    /// How single routes differ from it.
    #[serde(default, skip_serializing_if = "Split::is_plain")]
    pub split: Split,
    /// A seal announced and not yet concluded by a release.
    pub sealing: Option<Sealing>,
}

/// How new work is treated now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldView {
    /// It goes on along the route.
    Open,
    /// It is parked.
    Held {
        /// When the hold lapses.
        deadline: Tick,
        /// The seal under way, if one was announced.
        sealing: Option<Epoch>,
    },
    /// It is parked until the databases have said who has authority, or the run releases it.
    Unsure,
}

/// What an obeyed order changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The saved part changed: make it durable before acknowledging.
    pub save: bool,
    /// The route may differ.
    pub routed: bool,
    /// A hold began: what is counted per hold starts anew.
    pub hold_began: bool,
}

/// A hold ended by its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// New work goes on along the unchanged route: nothing happened.
    Opened,
    /// A seal had been announced: ask the databases.
    Unsure,
}

/// Why an order is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something as new or newer was obeyed.
    #[error(
        "order {}/{} is not newer than {}/{}, which was obeyed: another run is, or was, in charge",
        given.epoch, given.sequence, obeyed.epoch, obeyed.sequence
    )]
    Stale {
        /// The order's number.
        given: OrderNumber,
        /// The highest obeyed.
        obeyed: OrderNumber,
    },
    /// A route of an older authority.
    #[error("the route names authority epoch {given}, but epoch {known} is already in force")]
    OlderAuthority {
        /// The route's.
        given: Epoch,
        /// The present route's.
        known: Epoch,
    },
    /// One epoch cannot name two sides.
    #[error(
        "the route gives epoch {epoch} to the {given}, but that epoch belongs to the other side"
    )]
    OtherAuthority {
        /// The epoch.
        epoch: Epoch,
        /// The side the route names.
        given: Side,
    },
    /// A weight above the whole.
    #[error("a share of {0} in 1000 is more than everything")]
    Weight(u16),
    /// A route that this gate does not have.
    #[error(
        "this gate has no route `{0}`: it was started with another plan; start it again with the \
         run's"
    )]
    UnknownRoute(RouteName),
    /// A hold of no length.
    #[error("a hold of 0 ms holds nothing: give a budget")]
    NoBudget,
    /// There is no hold to work on.
    #[error("no hold is in force: it lapsed, was released, or never began; hold again")]
    NotHeld,
    /// The announced seal contradicts the route.
    #[error("a seal of the {from} in epoch {epoch} contradicts the present route")]
    WrongSeal {
        /// The attempt.
        epoch: Epoch,
        /// The side named.
        from: Side,
    },
    /// The migration before is not over.
    #[error(
        "the numbers cannot begin anew: a hold or a seal of the migration before is in force, or \
         the target has its authority"
    )]
    NotOver,
    /// Released without a route.
    #[error("no route is known yet: send one before releasing")]
    NoRoute,
}

/// The gate's state. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    table: Arc<RouteTable>,
    obeyed: OrderNumber,
    route: Option<Route>,
    split: Split,
    deadline: Option<Tick>,
    sealing: Option<Sealing>,
    /// Nothing opens on its own while this is set: the route must be proven first.
    doubt: bool,
    lapsed: u64,
}

impl Router {
    /// A gate that starts. With `prove` nothing goes on before [`Router::handle_authority`]
    /// proved a side or the run released it; so too if a seal was under way.
    /// Without, and with nothing saved, the source has authority in epoch 0. A saved share of a route
    /// that is not in the `table` any more is kept, and nothing goes by it.
    #[must_use]
    pub fn start(saved: Saved, table: RouteTable, prove: bool) -> Router {
        let doubt = prove || saved.sealing.is_some();
        let fresh =
            Route { target_permille: 0, authority: Side::Source, authority_epoch: Epoch(0) };
        let route = if doubt { saved.route } else { Some(saved.route.unwrap_or(fresh)) };
        Router {
            table: Arc::new(table),
            obeyed: saved.obeyed,
            route,
            split: saved.split,
            deadline: None,
            sealing: saved.sealing,
            doubt,
            lapsed: 0,
        }
    }

    /// Obeys or refuses an order. A refused order changes nothing, except that time passes.
    ///
    /// # Errors
    /// Why it is refused. `Status`, `Metrics`, `Decided`, `Prepare` and mirroring are never refused
    /// here and change nothing.
    pub fn handle_order(&mut self, order: &Order, now: Tick) -> Result<Effects, Refusal> {
        self.poll(now);
        let number = match order {
            Order::Status
            | Order::Metrics
            | Order::Decided { .. }
            | Order::Prepare { .. }
            | Order::Mirror(_)
            | Order::MirrorStop { .. } => {
                return Ok(Effects::default());
            }
            Order::Anew => return self.begin_anew(),
            Order::Route { number, .. }
            | Order::Hold { number, .. }
            | Order::Renew { number, .. }
            | Order::Sealing { number, .. }
            | Order::Release { number } => *number,
        };
        if number <= self.obeyed {
            return Err(Refusal::Stale { given: number, obeyed: self.obeyed });
        }
        let mut next = self.clone();
        let mut effects = Effects { save: true, ..Effects::default() };
        match order {
            Order::Status
            | Order::Metrics
            | Order::Decided { .. }
            | Order::Prepare { .. }
            | Order::Mirror(_)
            | Order::MirrorStop { .. }
            | Order::Anew => {}
            Order::Route { route, split, .. } => {
                next.set_route(*route)?;
                next.set_split(split)?;
                effects.routed = true;
            }
            Order::Hold { budget_ms, .. } => {
                effects.hold_began = next.deadline.is_none();
                next.deadline = Some(deadline(now, *budget_ms)?);
            }
            Order::Renew { budget_ms, .. } => {
                next.deadline.ok_or(Refusal::NotHeld)?;
                next.deadline = Some(deadline(now, *budget_ms)?);
            }
            Order::Sealing { epoch, from, .. } => {
                next.set_sealing(Sealing { epoch: *epoch, from: *from })?;
            }
            Order::Release { .. } => {
                next.route.ok_or(Refusal::NoRoute)?;
                next.deadline = None;
                next.sealing = None;
                next.doubt = false;
            }
        }
        next.obeyed = number;
        *self = next;
        Ok(effects)
    }

    /// What the databases say. Resolves a doubt if a side is proven and no hold is in force;
    /// true if it did.
    pub fn handle_authority(&mut self, readings: Readings, now: Tick) -> bool {
        self.poll(now);
        if self.view() != HoldView::Unsure {
            return false;
        }
        let Some((side, epoch)) = readings.proven(self.route) else { return false };
        // With nothing remembered the traffic goes where authority is.
        let fresh = if side == Side::Target { PERMILLE_ALL } else { 0 };
        self.route = Some(Route {
            target_permille: self.route.map_or(fresh, |r| r.target_permille),
            authority: side,
            authority_epoch: epoch,
        });
        self.sealing = None;
        self.doubt = false;
        true
    }

    /// Lets time pass: ends a hold whose deadline has come.
    pub fn poll(&mut self, now: Tick) -> Option<Lapse> {
        let deadline = self.deadline?;
        if now < deadline {
            return None;
        }
        self.deadline = None;
        self.lapsed += 1;
        Some(if self.doubt { Lapse::Unsure } else { Lapse::Opened })
    }

    /// When [`Router::poll`] has something to do.
    #[must_use]
    pub fn wake(&self) -> Option<Tick> {
        self.deadline
    }

    /// How new work is treated.
    #[must_use]
    pub fn view(&self) -> HoldView {
        match self.deadline {
            Some(deadline) => {
                HoldView::Held { deadline, sealing: self.sealing.map(|seal| seal.epoch) }
            }
            None if self.doubt => HoldView::Unsure,
            None => HoldView::Open,
        }
    }

    /// The present hold, as reported.
    #[must_use]
    pub fn hold_status(&self, now: Tick) -> Option<HoldStatus> {
        let deadline = self.deadline?;
        let left = deadline.since(now).as_millis();
        Some(HoldStatus {
            remaining_ms: u64::try_from(left).unwrap_or(u64::MAX),
            sealing: self.sealing.map(|seal| seal.epoch),
        })
    }

    /// The route; `None` until an order or the databases gave one.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        self.route
    }

    /// How single routes differ from it.
    #[must_use]
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// The routes.
    #[must_use]
    pub fn table(&self) -> &RouteTable {
        &self.table
    }

    /// The share of each route, in their order, the rest's last; nothing goes to the target while
    /// no route is known.
    #[must_use]
    pub fn shares(&self) -> Vec<Share> {
        self.table.shares(&self.split, self.route.map_or(0, |route| route.target_permille))
    }

    /// The newest canary, by its salt: of all requests that the target gets, those of the newest
    /// salt. `None` while it gets none.
    #[must_use]
    pub fn canary(&self) -> Option<u64> {
        let some = |share: &Share| share.target_permille > 0;
        self.shares().into_iter().filter(some).map(|share| share.salt).max()
    }

    /// The highest number obeyed.
    #[must_use]
    pub fn obeyed(&self) -> OrderNumber {
        self.obeyed
    }

    /// How many holds lapsed.
    #[must_use]
    pub fn lapsed(&self) -> u64 {
        self.lapsed
    }

    /// What must be durable before an order is acknowledged.
    #[must_use]
    pub fn saved(&self) -> Saved {
        let (obeyed, route, sealing) = (self.obeyed, self.route, self.sealing);
        Saved { obeyed, route, split: self.split.clone(), sealing }
    }

    fn begin_anew(&mut self) -> Result<Effects, Refusal> {
        let moved = self.route.is_some_and(|route| route.authority == Side::Target);
        if self.deadline.is_some() || self.sealing.is_some() || moved {
            return Err(Refusal::NotOver);
        }
        self.obeyed = OrderNumber::default();
        self.route = self.route.map(|route| Route { authority_epoch: Epoch(0), ..route });
        Ok(Effects { save: true, routed: true, ..Effects::default() })
    }

    fn set_route(&mut self, route: Route) -> Result<(), Refusal> {
        if route.target_permille > PERMILLE_ALL {
            return Err(Refusal::Weight(route.target_permille));
        }
        if let Some(known) = self.route {
            let (given, known_epoch) = (route.authority_epoch, known.authority_epoch);
            if given < known_epoch {
                return Err(Refusal::OlderAuthority { given, known: known_epoch });
            }
            if given == known_epoch && route.authority != known.authority {
                return Err(Refusal::OtherAuthority { epoch: given, given: route.authority });
            }
        }
        self.route = Some(route);
        Ok(())
    }

    fn set_split(&mut self, split: &Split) -> Result<(), Refusal> {
        if let Some(over) = split.own.values().find(|own| own.target_permille > PERMILLE_ALL) {
            return Err(Refusal::Weight(over.target_permille));
        }
        if let Some(unknown) = self.table.missing(split) {
            return Err(Refusal::UnknownRoute(unknown.clone()));
        }
        self.split.clone_from(split);
        Ok(())
    }

    fn set_sealing(&mut self, seal: Sealing) -> Result<(), Refusal> {
        self.deadline.ok_or(Refusal::NotHeld)?;
        if let Some(route) = self.route
            && (route.authority != seal.from || seal.epoch <= route.authority_epoch)
        {
            return Err(Refusal::WrongSeal { epoch: seal.epoch, from: seal.from });
        }
        self.sealing = Some(seal);
        self.doubt = true;
        Ok(())
    }
}

fn deadline(now: Tick, budget_ms: u64) -> Result<Tick, Refusal> {
    if budget_ms == 0 {
        return Err(Refusal::NoBudget);
    }
    Ok(now.after(Duration::from_millis(budget_ms)))
}

#[cfg(test)]
mod tests;
