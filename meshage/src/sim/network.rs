//! The simulated network between hosts: reachability, speed and loss.
//!
//! It owns the paths and their faults. The simulation owns the traffic (connections, datagrams).
//!
//! ```text
//!   host 0 ──latency ± jitter, bandwidth── host 1      one path per pair, equal in both directions
//!      group 0        │ cut, or another group: all traffic is dropped        group 0
//!                     │ cut one way: what travels in that direction is dropped
//!                     │ with a limit: larger packets are lost, and smaller ones pass
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
    /// The largest segment that arrives, in bytes; `None`: all arrive. A larger one is lost each time
    /// that it is sent again, and blocks those after it.
    pub packet_bytes_max: Option<usize>,
}

impl Default for Path {
    /// A slow local network: 5 ms, as the targets in the design assume, and 1 Gb/s.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(1),
            bandwidth: 125_000_000,
            packet_bytes_max: None,
        }
    }
}

/// The most bytes in flight in one direction of a connection: the size of a kernel's send buffer
/// with the driver's settings.
const WINDOW_BYTES_MAX: u64 = 256 << 10;
/// The least window: a few packets, however slow the path.
const WINDOW_BYTES_MIN: u64 = 16 << 10;

/// How late a datagram may be: later ones overtake it.
const DATAGRAM_LATE_MAX: Duration = Duration::from_millis(500);

impl Path {
    /// How long `bytes` bytes occupy the path.
    pub(super) fn occupied_by(&self, bytes: usize) -> Duration {
        Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.bandwidth)
    }

    /// Whether a segment of so many bytes arrives.
    pub(super) fn passes(&self, bytes: usize) -> bool {
        self.packet_bytes_max.is_none_or(|most| bytes <= most)
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
    /// What the first host sends to the second one is lost.
    one_way_cuts: BTreeSet<(HostId, HostId)>,
    /// Hosts of different groups do not reach each other. A host without an entry is in group 0.
    groups: BTreeMap<HostId, u32>,
    /// The datagram loss, per thousand.
    loss_permille: u32,
    /// How many datagrams of a thousand arrive twice, and how many arrive late.
    disturbed_permille: u32,
    rng: SimRng,
    disturbance_rng: SimRng,
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
            one_way_cuts: BTreeSet::new(),
            groups: BTreeMap::new(),
            loss_permille: 0,
            disturbed_permille: 0,
            disturbance_rng: rng.fork(1),
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

    /// Whether traffic passes from one host to another.
    pub fn reaches(&self, from: HostId, to: HostId) -> bool {
        let is_cut = self.cuts.contains(&pair(from, to)) || self.one_way_cuts.contains(&(from, to));
        from == to || (self.group(from) == self.group(to) && !is_cut)
    }

    /// The partition that a host is in.
    pub fn group(&self, host_id: HostId) -> u32 {
        self.groups.get(&host_id).copied().unwrap_or(0)
    }

    /// Drops all traffic between two hosts.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.cuts.insert(pair(a, b));
    }

    /// Drops what one host sends to another.
    pub fn cut_one_way(&mut self, from: HostId, to: HostId) {
        self.one_way_cuts.insert((from, to));
    }

    /// Undoes [`Network::cut`] and [`Network::cut_one_way`].
    pub fn heal(&mut self, a: HostId, b: HostId) {
        self.cuts.remove(&pair(a, b));
        self.one_way_cuts.remove(&(a, b));
        self.one_way_cuts.remove(&(b, a));
    }

    /// Puts a host into a group.
    pub fn set_group(&mut self, host_id: HostId, group: u32) {
        self.groups.insert(host_id, group);
    }

    /// Sets the datagram loss, per thousand.
    pub fn set_loss(&mut self, permille: u32) {
        self.loss_permille = permille;
    }

    /// Sets how many datagrams of a thousand arrive twice, and how many arrive late.
    pub fn disturb_datagrams(&mut self, permille: u32) {
        self.disturbed_permille = permille;
    }

    /// Ends every fault.
    pub fn heal_all(&mut self) {
        self.special.clear();
        self.cuts.clear();
        self.one_way_cuts.clear();
        self.groups.clear();
        self.loss_permille = 0;
        self.disturbed_permille = 0;
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

    /// Draws how much later than usual each copy of a datagram arrives: one copy, or two.
    pub(super) fn datagram_delays(&mut self) -> impl Iterator<Item = Duration> + use<> {
        let permille = self.disturbed_permille;
        let disturbed = |rng: &mut SimRng| permille > 0 && rng.permille(permille);
        let late = |rng: &mut SimRng| match disturbed(rng) {
            true => rng.time(Duration::ZERO..DATAGRAM_LATE_MAX),
            false => Duration::ZERO,
        };
        let rng = &mut self.disturbance_rng;
        let first = late(rng);
        let second = disturbed(rng).then(|| late(rng));
        std::iter::once(first).chain(second)
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
    fn disturbed_datagrams_arrive_late_or_twice_and_others_once_and_in_time() {
        let mut network = Network::new(Path::default(), SimRng::new(1));
        assert_eq!(network.datagram_delays().collect::<Vec<_>>(), [Duration::ZERO]);
        network.disturb_datagrams(500);
        let delays: Vec<Vec<Duration>> =
            (0..100).map(|_| network.datagram_delays().collect()).collect();
        assert!(delays.iter().any(|copies| copies.len() == 2));
        assert!(delays.iter().flatten().any(|late| !late.is_zero()));
    }

    #[test]
    fn cuts_and_groups_block_traffic_until_they_heal() {
        let mut network = Network::new(Path::default(), SimRng::new(1));
        let (a, b) = (HostId(0), HostId(1));
        network.cut(b, a);
        assert!(!network.reaches(a, b));
        network.heal(a, b);
        network.cut_one_way(a, b);
        assert!(!network.reaches(a, b) && network.reaches(b, a));
        network.heal(b, a);
        assert!(network.reaches(a, b));
        network.set_group(a, 1);
        assert!(!network.reaches(a, b));
        assert!(network.reaches(a, a));
        network.heal_all();
        assert!(network.reaches(a, b));
    }
}
