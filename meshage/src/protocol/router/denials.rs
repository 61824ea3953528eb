//! Nodes that lack a key or a right: each way of being turned away is counted, at both ends, and the
//! application learns from which address a node without a common key came.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Router;
use crate::event::{Event, LinkEnd};
use crate::secure::{AuthError, KeyId, Refusal};

/// An address is reported at most once in this time.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How many reported addresses are remembered for that. Of more, none is reported: whoever has so
/// many addresses must not fill the event queues.
const REPORTED_MAX: usize = 1024;

/// When a lack of keys was reported last, by address.
#[derive(Debug, Default)]
pub(super) struct KeyMismatches {
    reported: BTreeMap<SocketAddr, Instant>,
}

impl KeyMismatches {
    /// Records a report, unless the address was reported a short time ago.
    fn report(&mut self, address: SocketAddr, now: Instant) -> bool {
        let is_recent = |reported: &Instant| now < *reported + REPORT_INTERVAL;
        if self.reported.get(&address).is_some_and(is_recent) {
            return false;
        }
        if self.reported.len() >= REPORTED_MAX {
            self.reported.retain(|_, reported| is_recent(reported));
        }
        let has_room = self.reported.len() < REPORTED_MAX;
        if has_room {
            self.reported.insert(address, now);
        }
        has_room
    }
}

impl Router {
    /// One of two nodes turned the other one away.
    pub(super) fn denied(
        &mut self,
        from: SocketAddr,
        dialled: bool,
        error: &AuthError,
        now: Instant,
    ) {
        self.count_denial(error);
        let Some(heard) = heard(error) else { return };
        // The ports of accepted connections differ from one to the next.
        let key = if dialled { from } else { SocketAddr::new(from.ip(), 0) };
        if self.closed {
            return;
        }
        if self.key_mismatches.report(key, now) {
            self.event(Event::KeyMismatch { address: from, heard });
        } else {
            self.counters.key_mismatches_unreported += 1;
        }
    }

    /// Counts a link that ended because of what a node lacks.
    pub(super) fn count_denied_link(&mut self, end: &LinkEnd) {
        if let LinkEnd::Auth(error) = end {
            self.count_denial(error);
        }
    }

    fn count_denial(&mut self, error: &AuthError) {
        let counters = &mut self.counters;
        let counter = match error {
            AuthError::NoCommonKey { .. } => &mut counters.denied_no_common_key,
            AuthError::PeerIsOpen => &mut counters.denied_plaintext,
            AuthError::PeerIsClosed { .. } => &mut counters.denied_sealed,
            AuthError::Level { .. } => &mut counters.denied_level,
            AuthError::NotAuthentic(_) => &mut counters.denied_not_authentic,
            AuthError::NotAllowed(_) => &mut counters.denied_not_allowed,
            AuthError::Ticket(..) | AuthError::TicketTime(..) | AuthError::Revoked(_) => {
                &mut counters.denied_ticket
            }
            AuthError::RefusedByPeer(
                Refusal::Identity
                | Refusal::NotAllowed
                | Refusal::Ticket
                | Refusal::TicketTime
                | Refusal::Revoked
                | Refusal::KeyRemoved,
            ) => &mut counters.denied_by_peer,
        };
        *counter += 1;
    }
}

/// The key ids that the other node named, if the two have no key in common.
fn heard(error: &AuthError) -> Option<Vec<KeyId>> {
    match error {
        AuthError::NoCommonKey { heard, .. } | AuthError::PeerIsClosed { heard } => {
            Some(heard.clone())
        }
        AuthError::PeerIsOpen => Some(Vec::new()),
        AuthError::Level { .. }
        | AuthError::NotAuthentic(_)
        | AuthError::NotAllowed(_)
        | AuthError::Ticket(..)
        | AuthError::TicketTime(..)
        | AuthError::Revoked(_)
        | AuthError::RefusedByPeer(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    #[test]
    fn an_address_is_reported_once_a_minute() {
        let (mut mismatches, start) = (KeyMismatches::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(mismatches.report(address(1), at(0)));
        assert!(!mismatches.report(address(1), at(59)));
        assert!(mismatches.report(address(2), at(59)));
        assert!(mismatches.report(address(1), at(60)));
    }

    #[test]
    fn the_memory_of_reported_addresses_is_bounded() {
        let (mut mismatches, start) = (KeyMismatches::default(), Instant::now());
        for number in 0..REPORTED_MAX as u16 {
            assert!(mismatches.report(address(number), start));
        }
        assert!(!mismatches.report(address(5000), start));
        assert_eq!(mismatches.reported.len(), REPORTED_MAX);
        assert!(mismatches.report(address(5000), start + REPORT_INTERVAL));
        assert_eq!(mismatches.reported.len(), 1);
    }
}
