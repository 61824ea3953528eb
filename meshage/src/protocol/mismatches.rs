//! Nodes that have none of this node's keys, each reported to the application once in a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often a node is reported at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// The most addresses that are remembered, and so the most reports in an interval. Addresses of
/// datagrams can be invented.
const ADDRESSES_MAX: usize = 256;

/// The addresses that were reported lately.
#[derive(Debug, Default)]
pub(super) struct Mismatches {
    reported: BTreeMap<SocketAddr, Instant>,
}

/// Whether a mismatch is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is reported now.
    Report,
    /// One at this address was reported not long ago.
    Known,
    /// Too many others were reported not long ago.
    TooMany,
}

impl Mismatches {
    /// Records a mismatch with the node at an address.
    pub(super) fn record(&mut self, address: SocketAddr, now: Instant) -> Verdict {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < REPORT_INTERVAL;
        if self.reported.get(&address).is_some_and(is_recent) {
            return Verdict::Known;
        }
        if self.reported.len() >= ADDRESSES_MAX {
            self.reported.retain(|_, at| is_recent(at));
        }
        if self.reported.len() >= ADDRESSES_MAX {
            return Verdict::TooMany;
        }
        self.reported.insert(address, now);
        Verdict::Report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> SocketAddr {
        SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + number).into(), 9000)
    }

    #[test]
    fn an_address_is_reported_once_a_minute() {
        let (start, mut mismatches) = (Instant::now(), Mismatches::default());
        let mut after =
            |seconds| mismatches.record(address(1), start + Duration::from_secs(seconds));
        assert_eq!(after(0), Verdict::Report);
        assert_eq!(after(59), Verdict::Known);
        assert_eq!(after(60), Verdict::Report);
        assert_eq!(after(61), Verdict::Known);
    }

    #[test]
    fn invented_addresses_cause_a_bounded_number_of_reports() {
        let (start, mut mismatches) = (Instant::now(), Mismatches::default());
        let report = |mismatches: &mut Mismatches, after: u64| {
            let now = start + Duration::from_secs(after);
            (0..10_000).filter(|i| mismatches.record(address(*i), now) == Verdict::Report).count()
        };
        assert_eq!(report(&mut mismatches, 0), ADDRESSES_MAX);
        assert_eq!(report(&mut mismatches, 30), 0);
        assert_eq!(mismatches.record(address(10_000), start), Verdict::TooMany);
        assert_eq!(report(&mut mismatches, 60), ADDRESSES_MAX);
    }
}
