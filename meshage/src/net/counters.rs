//! What the driver counts. The two planes count for themselves.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::stats::Stats;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts so many.
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts one.
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
            /// Adds them to a snapshot, each under its own name.
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
    /// Frames of a kind that this version does not know: skipped.
    net_in_frames_unknown,
    /// Links closed because the other end sent what is not the protocol.
    net_breaches,
    /// Links closed because a queue of control frames reached its bound.
    net_control_overflows,
    /// Connections accepted.
    net_accepted,
    /// Connections closed at once: too many were half open already.
    net_accepts_refused,
    /// Connections that the system did not hand over.
    net_accept_errors,
    /// Handshakes that failed: another protocol, another version, too slow, cut off.
    net_handshakes_failed,
    /// Datagrams heard.
    net_in_datagrams,
    /// Datagrams that were no solicitation.
    net_in_datagrams_malformed,
    /// Datagrams dropped because the control plane had enough to do.
    net_in_datagrams_dropped,
    /// Datagrams sent.
    net_out_datagrams,
    /// Datagrams that the system did not take.
    net_out_datagrams_failed,
    /// Messages that a snoop was too slow for.
    net_snoops_dropped,
    /// Events dropped because nobody took them.
    net_events_dropped,
}
