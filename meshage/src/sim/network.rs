//! The simulated network between hosts: reachability, speed and loss.
//!
//! It owns the paths and their faults. The simulation owns the traffic (connections, datagrams).
//!
//! ```text
//!   host 0 ──latency ± jitter, bandwidth── host 1      one path per pair, equal in both directions
//!      group 0        │ cut, or another group: all traffic is dropped        group 0
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::rng::SimRng;

/// A host: its index in the simulation's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

impl HostId {
    /// The address of the host. 10.0.0.0/8 holds more hosts than any simulation.
    pub fn ip(self) -> IpAddr {
        let number = self.0 as u32 + 1;
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | number))
    }

    /// The host of an address.
    pub fn of(address: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = address.ip() else {
            return None;
        };
        let number = u32::from(ip).checked_sub(0x0a00_0001)?;
        Some(Self(number as usize))
    }
}

/// The properties of a path between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The minimum delay of a byte.
    pub latency: Duration,
    /// The maximum additional delay, uniformly distributed.
    pub jitter: Duration,
    /// The bandwidth in bytes per second.
    pub bandwidth: u64,
}

impl Default for Path {
    /// A slow local network: 5 ms, as the targets in the design assume, and 1 Gb/s.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(1),
            bandwidth: 125_000_000,
        }
    }
}

/// The most bytes in flight in one direction of a connection: the size of a kernel's send buffer
/// with the driver's settings.
const WINDOW_BYTES_MAX: u64 = 256 << 10;
/// The least window: a few packets, however slow the path.
const WINDOW_BYTES_MIN: u64 = 16 << 10;

impl Path {
    /// How long `bytes` bytes occupy the path.
    pub(super) fn occupied_by(&self, bytes: usize) -> Duration {
        Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.bandwidth)
    }

    /// The window in bytes: what the path holds in flight, as with a tuned sender.
    pub(super) fn window(&self) -> usize {
        let held = (self.latency * 2 + Duration::from_millis(50)).as_millis() as u64
            * self.bandwidth
            / 1000;
        held.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX) as usize
    }

    /// The largest segment in bytes: a tenth of a second's worth, so that the receiver of a large
    /// frame on a slow path still sees that the peer is alive.
    pub(super) fn segment_bytes_max(&self) -> usize {
        (self.bandwidth / 10).clamp(1 << 10, 256 << 10) as usize
    }
}

/// The network: its paths, groups and cuts.
#[derive(Debug)]
pub struct Network {
    standard: Path,
    special: BTreeMap<(HostId, HostId), Path>,
    cuts: BTreeSet<(HostId, HostId)>,
    /// Hosts of different groups do not reach each other. A host without an entry is in group 0.
    groups: BTreeMap<HostId, u32>,
    /// The datagram loss, per thousand.
    loss_permille: u32,
    rng: SimRng,
}

fn pair(a: HostId, b: HostId) -> (HostId, HostId) {
    if a <= b { (a, b) } else { (b, a) }
}

impl Network {
    /// A network without faults.
    pub fn new(standard: Path, rng: SimRng) -> Self {
        Self {
            standard,
            special: BTreeMap::new(),
            cuts: BTreeSet::new(),
            groups: BTreeMap::new(),
            loss_permille: 0,
            rng,
        }
    }

    /// The path between two hosts.
    pub fn path(&self, a: HostId, b: HostId) -> Path {
        self.special.get(&pair(a, b)).copied().unwrap_or(self.standard)
    }

    /// Changes the path between two hosts; `None` restores the standard path.
    pub fn set_path(&mut self, a: HostId, b: HostId, path: Option<Path>) {
        match path {
            Some(path) => self.special.insert(pair(a, b), path),
            None => self.special.remove(&pair(a, b)),
        };
    }

    /// Whether traffic passes between two hosts.
    pub fn reaches(&self, a: HostId, b: HostId) -> bool {
        a == b || (self.group(a) == self.group(b) && !self.cuts.contains(&pair(a, b)))
    }

    /// The partition that a host is in.
    pub fn group(&self, host_id: HostId) -> u32 {
        self.groups.get(&host_id).copied().unwrap_or(0)
    }

    /// Drops all traffic between two hosts.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.cuts.insert(pair(a, b));
    }

    /// Undoes [`Network::cut`].
    pub fn heal(&mut self, a: HostId, b: HostId) {
        self.cuts.remove(&pair(a, b));
    }

    /// Puts a host into a group.
    pub fn set_group(&mut self, host_id: HostId, group: u32) {
        self.groups.insert(host_id, group);
    }

    /// Sets the datagram loss, per thousand.
    pub fn set_loss(&mut self, permille: u32) {
        self.loss_permille = permille;
    }

    /// Ends every fault.
    pub fn heal_all(&mut self) {
        self.special.clear();
        self.cuts.clear();
        self.groups.clear();
        self.loss_permille = 0;
    }

    /// The delay of a segment or datagram that leaves now, without the time that it occupies the
    /// path.
    pub(super) fn delay(&mut self, a: HostId, b: HostId) -> Duration {
        if a == b {
            // A loopback.
            return Duration::from_micros(20);
        }
        let path = self.path(a, b);
        path.latency + self.rng.time(Duration::ZERO..path.jitter)
    }

    /// Draws whether a datagram between reachable hosts is lost.
    pub(super) fn drops_datagram(&mut self) -> bool {
        self.loss_permille > 0 && self.rng.permille(self.loss_permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_maps_back_to_its_host() {
        for host_id in [HostId(0), HostId(254), HostId(70_000)] {
            assert_eq!(HostId::of(SocketAddr::new(host_id.ip(), 9000)), Some(host_id));
        }
    }

    #[test]
    fn cuts_and_groups_block_traffic_until_they_heal() {
        let mut network = Network::new(Path::default(), SimRng::new(1));
        let (a, b) = (HostId(0), HostId(1));
        network.cut(b, a);
        assert!(!network.reaches(a, b));
        network.heal(a, b);
        network.set_group(a, 1);
        assert!(!network.reaches(a, b));
        assert!(network.reaches(a, a));
        network.heal_all();
        assert!(network.reaches(a, b));
    }
}
