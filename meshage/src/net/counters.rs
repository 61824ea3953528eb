//! The counters of the driver. The two planes have counters of their own.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::stats::Stats;

/// A counter that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to the counter.
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Sets it, if it is no counter but the number of something that exists now.
    pub(crate) fn set(&self, count: usize) {
        self.0.store(count as u64, Ordering::Relaxed);
    }

    /// Adds one.
    pub(crate) fn one(&self) {
        self.add(1);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The driver's counters.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        impl Counters {
            /// Adds the counters to a snapshot, each under its own name.
            pub(crate) fn count(&self, stats: &mut Stats) {
                $(stats.set(stringify!($name), self.$name.0.load(Ordering::Relaxed));)*
            }
        }
    };
}

counters! {
    /// Bytes read from links.
    net_in_bytes,
    /// Bytes written to links.
    net_out_bytes,
    /// Frames read from links.
    net_in_frames,
    /// Frames written to links.
    net_out_frames,
    /// System calls that wrote to links.
    net_out_writes,
    /// Frames of a kind that this version does not know, which were skipped.
    net_in_frames_unknown,
    /// Links closed because the other end sent bytes that are not valid in the protocol.
    net_breaches,
    /// Sealed links now.
    links_sealed,
    /// Sealed links now of which both directions are under the primary key.
    links_under_primary_key,
    /// Links closed because a queue of control frames reached its limit.
    net_control_overflows,
    /// Times that a link was not read for a while, because it had caused too many refusals and
    /// answers that lead to nothing.
    net_links_paused,
    /// Connections accepted.
    net_accepted,
    /// Connections from hosts that nodes of the mesh were seen at, which did not wait for strangers.
    net_accepted_known,
    /// Handshakes given up, the oldest first, because new connections waited for their place.
    net_handshakes_evicted,
    /// Connections of strangers that waited because too many had come shortly before.
    net_handshakes_delayed,
    /// Failures to accept a connection.
    net_accept_errors,
    /// Handshakes that failed: another protocol, another version, too slow, connection closed.
    net_handshakes_failed,
    /// Datagrams received.
    net_in_datagrams,
    /// Datagrams received that were not valid solicitations.
    net_in_datagrams_malformed,
    /// Sealed datagrams dropped because this node has no key.
    net_in_datagrams_sealed,
    /// Datagrams in clear dropped because this node has a key.
    net_in_datagrams_plain,
    /// Datagrams sealed under a key that this node does not have.
    net_in_datagrams_unknown_key,
    /// Datagrams that no holder of the key has sealed, or that were altered on the way.
    net_in_datagrams_forged,
    /// Datagrams whose time stamp was too far from the time of this node.
    net_in_datagrams_skewed,
    /// Datagrams that had arrived before.
    net_in_datagrams_replayed,
    /// Datagrams dropped because too many were remembered to tell replays.
    net_in_datagrams_limited,
    /// Datagrams dropped because the queue of the control plane was full.
    net_in_datagrams_dropped,
    /// Datagrams sent.
    net_out_datagrams,
    /// Datagrams that the system failed to send.
    net_out_datagrams_failed,
    /// Datagrams not sent because this machine is connected to too many networks.
    net_out_datagrams_limited,
    /// Host names not resolved, because no thread could be started or too many names were waiting.
    net_resolves_refused,
    /// Tasks of the node that panicked, which is an error of the library. The work of each was
    /// ended or started again.
    tasks_panicked,
    /// Messages dropped because the snoop callback was too slow.
    net_snoops_dropped,
    /// Events dropped because a subscription was full.
    net_events_dropped,
}
