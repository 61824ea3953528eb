//! Takes connections in and exchanges hellos over them, so many at a time.
//!
//! One task accepts and never waits for a handshake; each handshake is a task of its own, and all of
//! them end with the accepting one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::driver::Incoming;
use super::shared::Shared;
use super::{handshake, socket};
use crate::protocol::io::Role;
use crate::wire::hello::Purpose;

/// How many handshakes may be under way: what 64 slow strangers cost is a socket each.
pub(super) const HALF_OPEN_MAX: usize = 64;
/// How many of them from one address, so that one stranger does not shut out the others.
pub(super) const HALF_OPEN_PER_ADDRESS_MAX: usize = 8;
/// How long to wait where the system hands over no connection, for want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is half open.
#[derive(Debug, Default)]
struct HalfOpen {
    per_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A place among them, given back when dropped.
struct Place {
    half_open: Arc<HalfOpen>,
    address: IpAddr,
}

impl HalfOpen {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.per_address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut per_address = self.lock();
        let all: usize = per_address.values().sum();
        let own = per_address.get(&address).copied().unwrap_or(0);
        if all >= HALF_OPEN_MAX || own >= HALF_OPEN_PER_ADDRESS_MAX {
            return None;
        }
        per_address.insert(address, own + 1);
        Some(Place { half_open: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut per_address = self.half_open.lock();
        match per_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(per_address.remove(&self.address)),
        }
    }
}

/// Accepts for ever.
pub(super) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Incoming>,
) {
    let half_open = Arc::new(HalfOpen::default());
    let mut handshakes = JoinSet::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                shared.counters.net_accept_errors.one();
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while handshakes.try_join_next().is_some() {}
        shared.counters.net_accepted.one();
        let Some(place) = half_open.enter(from.ip()) else {
            shared.counters.net_accepts_refused.one();
            tracing::debug!(%from, "too many handshakes under way");
            continue;
        };
        let greeting = greet(stream, place, shared.clone(), incoming.clone());
        handshakes.spawn(greeting.instrument(shared.span.clone()));
    }
}

async fn greet(
    mut stream: TcpStream,
    place: Place,
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Incoming>,
) {
    socket::tune(&stream);
    let own = shared.hello(Purpose::Dialled);
    match handshake::exchange(&mut stream, &own).await {
        Ok(hello) => {
            drop(place);
            let connected = Incoming::Connected { stream, role: Role::Listener, hello };
            // A node that closes takes no more.
            let _ = incoming.send(connected).await;
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
    fn places_are_bounded_in_all_and_per_address_and_are_given_back() {
        let half_open = Arc::new(HalfOpen::default());
        let address = |last: usize| IpAddr::from([10, 0, 0, last as u8]);
        let own: Vec<_> =
            (0..HALF_OPEN_PER_ADDRESS_MAX).filter_map(|_| half_open.enter(address(0))).collect();
        assert_eq!(own.len(), HALF_OPEN_PER_ADDRESS_MAX);
        assert!(half_open.enter(address(0)).is_none());
        let others: Vec<_> = (1..).map_while(|i| half_open.enter(address(i))).collect();
        assert_eq!(own.len() + others.len(), HALF_OPEN_MAX);
        drop(own);
        assert!(half_open.enter(address(0)).is_some());
        drop(others);
        assert!(half_open.lock().is_empty());
    }
}
