//! The hosts that nodes of the mesh were seen at: their connections do not wait behind those of
//! strangers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::address::{self, ZonedIp};

/// The most hosts that are remembered; of more, the one that was seen least recently is forgotten.
const KNOWN_HOSTS_MAX: usize = 4096;

/// The addresses of hosts that completed a handshake, and of the seeds.
#[derive(Debug, Default)]
pub(super) struct KnownHosts(Mutex<Hosts>);

#[derive(Debug, Default)]
struct Hosts {
    seen: BTreeMap<IpAddr, u64>,
    order: BTreeSet<(u64, IpAddr)>,
    count: u64,
}

impl KnownHosts {
    /// Knows the seeds that are addresses. The others are known once they were dialled.
    pub(super) fn new(seeds: &[String]) -> Self {
        let known = Self::default();
        let hosts = seeds.iter().filter_map(|seed| ZonedIp::parse(address::split(seed, 0).ok()?.0));
        hosts.for_each(|host| known.record(host.ip));
        known
    }

    /// A handshake with this host was completed.
    pub(super) fn record(&self, host: IpAddr) {
        let host = host.to_canonical();
        let hosts = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.count += 1;
        if let Some(before) = hosts.seen.insert(host, hosts.count) {
            hosts.order.remove(&(before, host));
        }
        hosts.order.insert((hosts.count, host));
        if hosts.seen.len() > KNOWN_HOSTS_MAX
            && let Some((_, oldest)) = hosts.order.pop_first()
        {
            hosts.seen.remove(&oldest);
        }
    }

    /// A node of this host has violated the protocol: its connections wait as a stranger's.
    pub(super) fn forget(&self, host: IpAddr) {
        let host = host.to_canonical();
        let hosts = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = hosts.seen.remove(&host) {
            hosts.order.remove(&(seen, host));
        }
    }

    /// Whether the host is known.
    pub(super) fn contains(&self, host: IpAddr) -> bool {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.seen.contains_key(&host.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn seeds_and_hosts_that_completed_a_handshake_are_known() {
        let known = KnownHosts::new(&["10.0.0.1:9000".into(), "[::1]:1".into(), "host".into()]);
        for (host, expected) in [("10.0.0.1", true), ("::1", true), ("10.0.0.2", false)] {
            assert_eq!(known.contains(host.parse().expect("valid")), expected, "{host}");
        }
        known.record("::ffff:10.0.0.2".parse().expect("valid"));
        assert!(known.contains("10.0.0.2".parse().expect("valid")));
        known.forget("10.0.0.2".parse().expect("valid"));
        assert!(!known.contains("10.0.0.2".parse().expect("valid")));
    }

    #[test]
    fn the_host_that_was_seen_least_recently_is_forgotten() {
        let host = |number: usize| IpAddr::from(Ipv4Addr::from(number as u32));
        let known = KnownHosts::default();
        (0..KNOWN_HOSTS_MAX).for_each(|number| known.record(host(number)));
        known.record(host(0));
        known.record(host(KNOWN_HOSTS_MAX));
        assert!(known.contains(host(0)) && known.contains(host(KNOWN_HOSTS_MAX)));
        assert!(!known.contains(host(1)));
    }
}
