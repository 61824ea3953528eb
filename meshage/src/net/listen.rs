//! Accepts connections and exchanges hellos over them, a limited number at a time.
//!
//! One task accepts and never waits for a handshake. Each handshake runs in its own task, and
//! all of them end with the accepting task.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::handshake;
use super::input::NetworkEvent;
use super::shared::Shared;
use super::tasks::{self, inject};
use super::transport::{Listener, Transport};
use crate::protocol::io::Role;
use crate::wire::hello::Purpose;

/// The limit on concurrent handshakes: 64 slow strangers cost one socket each.
pub(super) const HALF_OPEN_MAX: usize = 64;
/// The limit for one address, so that one stranger does not lock out all others.
pub(super) const HALF_OPEN_PER_ADDRESS_MAX: usize = 8;
/// The pause after a failure to accept, which is usually a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The number of connections in the handshake, by address.
#[derive(Debug, Default)]
struct HalfOpen {
    per_address: Mutex<HashMap<IpAddr, usize>>,
}

/// The permit for one handshake, returned when it is dropped.
struct Permit {
    half_open: Arc<HalfOpen>,
    address: IpAddr,
}

impl HalfOpen {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.per_address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit for a connection from this address, unless a limit is reached.
    fn try_acquire(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let address = address.to_canonical();
        let mut per_address = self.lock();
        let total: usize = per_address.values().sum();
        let of_address = per_address.get(&address).copied().unwrap_or(0);
        if total >= HALF_OPEN_MAX || of_address >= HALF_OPEN_PER_ADDRESS_MAX {
            return None;
        }
        per_address.insert(address, of_address + 1);
        Some(Permit { half_open: self.clone(), address })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut per_address = self.half_open.lock();
        match per_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(per_address.remove(&self.address)),
        }
    }
}

/// Accepts connections until the task is stopped.
pub(super) async fn run(
    listener: Listener,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
) {
    let accept = || accept_all(&listener, &shared, &events);
    tasks::keep_running("listener", &shared.counters, accept).await;
}

async fn accept_all(
    listener: &Listener,
    shared: &Arc<Shared>,
    events: &mpsc::Sender<NetworkEvent>,
) {
    let half_open = Arc::new(HalfOpen::default());
    let mut handshakes = JoinSet::new();
    loop {
        let (transport, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                shared.counters.net_accept_errors.one();
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while handshakes.try_join_next().is_some() {}
        inject::point("listener", shared.name.as_str());
        shared.counters.net_accepted.one();
        let Some(permit) = half_open.try_acquire(from.ip()) else {
            shared.counters.net_accepts_refused.one();
            tracing::debug!(%from, "too many handshakes in progress");
            continue;
        };
        let (this, events) = (shared.clone(), events.clone());
        let handshake = async move {
            let handshake = complete_handshake(transport, permit, this.clone(), events);
            if tasks::observe("handshake", &this.counters, handshake).await.is_err() {
                this.counters.net_handshakes_failed.one();
            }
        };
        handshakes.spawn(handshake.instrument(shared.span.clone()));
    }
}

async fn complete_handshake(
    mut transport: Transport,
    permit: Permit,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
) {
    inject::point("handshake", shared.name.as_str());
    let own_hello = shared.hello(Purpose::Dialled);
    match handshake::exchange(&mut transport, &own_hello).await {
        Ok(hello) => {
            drop(permit);
            let connected = NetworkEvent::Connected { transport, role: Role::Listener, hello };
            // The send fails only while the node closes.
            let _ = events.send(connected).await;
        }
        Err(error) => {
            shared.counters.net_handshakes_failed.one();
            tracing::debug!(%error, "handshake failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_limited_in_total_and_per_address_and_are_returned() {
        let half_open = Arc::new(HalfOpen::default());
        let address = |last: usize| IpAddr::from([10, 0, 0, last as u8]);
        let permits: Vec<_> = (0..HALF_OPEN_PER_ADDRESS_MAX)
            .filter_map(|_| half_open.try_acquire(address(0)))
            .collect();
        assert_eq!(permits.len(), HALF_OPEN_PER_ADDRESS_MAX);
        assert!(half_open.try_acquire(address(0)).is_none());
        let others: Vec<_> = (1..).map_while(|i| half_open.try_acquire(address(i))).collect();
        assert_eq!(permits.len() + others.len(), HALF_OPEN_MAX);
        drop(permits);
        assert!(half_open.try_acquire(address(0)).is_some());
        drop(others);
        assert!(half_open.lock().is_empty());
    }
}
