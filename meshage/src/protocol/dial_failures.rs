//! Dials that datagrams caused and that failed.
//!
//! Everybody can send a datagram with another's source address and any port. It must not make this
//! node, or a mesh of many, connect to a third party again and again.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::token_bucket::TokenBucket;

/// The wait before an address is dialled again: doubled with each failure.
const BACKOFF_MIN: Duration = Duration::from_secs(2);
const BACKOFF_MAX: Duration = Duration::from_secs(128);
/// The failures of one host, at whatever ports: eight, and then one in 15 s.
const HOST_INTERVAL: Duration = Duration::from_secs(15);
const HOST_BURST: u32 = 8;
/// The failures of all hosts: 64, and then one a second.
const ALL_INTERVAL: Duration = Duration::from_secs(1);
const ALL_BURST: u32 = 64;
/// The most hosts and addresses that are remembered: as many as can fail within the time that a
/// failure counts.
const REMEMBERED_MAX: usize = 512;

/// The failures that still count.
#[derive(Debug, Default)]
pub(super) struct DialFailures {
    addresses: BTreeMap<SocketAddr, Backoff>,
    hosts: BTreeMap<IpAddr, TokenBucket>,
    all: Option<TokenBucket>,
}

#[derive(Debug)]
struct Backoff {
    wait: Duration,
    until: Instant,
}

impl DialFailures {
    /// A dial to these addresses failed.
    pub(super) fn record(&mut self, addresses: &[SocketAddr], now: Instant) {
        self.addresses.retain(|_, backoff| now < backoff.until + BACKOFF_MAX);
        self.hosts.retain(|_, bucket| !bucket.is_full(now));
        for address in addresses {
            let all = || TokenBucket::new(ALL_INTERVAL, ALL_BURST, now);
            self.all.get_or_insert_with(all).take(now);
            if self.hosts.len() < REMEMBERED_MAX || self.hosts.contains_key(&address.ip()) {
                let host = || TokenBucket::new(HOST_INTERVAL, HOST_BURST, now);
                self.hosts.entry(address.ip()).or_insert_with(host).take(now);
            }
            let before = self.addresses.get(address).map(|backoff| backoff.wait);
            if before.is_some() || self.addresses.len() < REMEMBERED_MAX {
                let wait = before.map_or(BACKOFF_MIN, |wait| BACKOFF_MAX.min(wait * 2));
                self.addresses.insert(*address, Backoff { wait, until: now + wait });
            }
        }
    }

    /// Whether a dial to this address may start.
    pub(super) fn permit(&self, address: SocketAddr, now: Instant) -> bool {
        let waits = self.addresses.get(&address).is_some_and(|backoff| now < backoff.until);
        let has_token = |bucket: &TokenBucket| bucket.has(1, now);
        !waits
            && self.hosts.get(&address.ip()).is_none_or(has_token)
            && self.all.as_ref().is_none_or(has_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u32, port: u16) -> SocketAddr {
        SocketAddr::new(std::net::Ipv4Addr::from(host).into(), port)
    }

    #[test]
    fn an_address_that_failed_is_dialled_again_after_a_wait_that_doubles() {
        let mut now = Instant::now();
        let mut failures = DialFailures::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            failures.record(&[address(1, 1)], now);
            let begin = now;
            while failures.addresses[&address(1, 1)].until > now {
                assert!(!failures.permit(address(1, 1), now));
                now += Duration::from_secs(1);
            }
            waits.push((now - begin).as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 128]);
        assert!(failures.permit(address(1, 2), now), "another address of the host");
    }

    #[test]
    fn a_host_is_dialled_at_few_ports_and_others_as_before() {
        let now = Instant::now();
        let mut failures = DialFailures::default();
        let dials_within = |failures: &mut DialFailures, now: Instant| {
            let mut dials = 0;
            for port in 1..=1000 {
                if failures.permit(address(1, port), now) {
                    failures.record(&[address(1, port)], now);
                    dials += 1;
                }
            }
            dials
        };
        assert_eq!(dials_within(&mut failures, now), HOST_BURST);
        let later = now + Duration::from_secs(60);
        assert_eq!(dials_within(&mut failures, later), 4);
        assert!(failures.permit(address(2, 1), later));
    }

    #[test]
    fn all_hosts_together_are_limited() {
        let now = Instant::now();
        let mut failures = DialFailures::default();
        let mut dials = 0;
        for host in 1..10_000 {
            if failures.permit(address(host, 1), now) {
                failures.record(&[address(host, 1)], now);
                dials += 1;
            }
        }
        assert_eq!(dials, ALL_BURST);
        assert!(failures.hosts.len() <= REMEMBERED_MAX);
        assert!(failures.permit(address(1, 2), now + ALL_INTERVAL));
    }
}
