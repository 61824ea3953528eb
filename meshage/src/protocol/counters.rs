//! What the router counts. Every limit has its counter here.

use crate::stats::Stats;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the start.
        #[derive(Debug, Default)]
        pub(super) struct Counters { $($(#[$doc])* pub(super) $name: u64,)* }

        impl Counters {
            pub(super) fn add_to(&self, stats: &mut Stats) {
                $(stats.set(stringify!($name), self.$name);)*
            }
        }
    };
}

counters! {
    /// Calls for links sent.
    solicitations_sent,
    /// Beacons sent.
    beacons_sent,
    /// Calls and beacons heard of this namespace, one's own not counted.
    solicitations_heard,
    /// Calls of other namespaces.
    solicitations_foreign,
    /// One's own calls, come back.
    solicitations_own,
    /// Calls that name no port.
    solicitations_malformed,
    /// Calls dropped unread because there were too many.
    solicitations_limited,
    /// Answers given up because too many were waiting.
    answers_limited,
    /// Dials started, for whatever reason.
    dials_started,
    /// Dials that led to no connection.
    dials_failed,
    /// Answers given up because too many dials had been started.
    dials_limited,
    /// Links admitted.
    links_admitted,
    /// Links that were admitted, and ended.
    links_lost,
    /// Links closed because not a byte came for the dead interval.
    links_silent,
    /// Connections that this node refused.
    links_refused,
    /// Connections refused because there may be no more.
    links_limited,
    /// Connections that the other end refused.
    links_refused_by_peer,
    /// Connections given up because the two ends did not agree in time.
    links_undecided,
    /// Links closed because the other end broke the protocol.
    breaches,
    /// This node's own announcements.
    announcements_originated,
    /// Others' announcements that were news.
    announcements_installed,
    /// Others' announcements that were not.
    announcements_stale,
    /// Copies of announcements sent.
    announcements_sent,
    /// Announcements dropped because the database was full.
    database_limited,
    /// Nodes forgotten because they could not be reached.
    nodes_forgotten,
    /// Computations of the routes.
    routes_computed,
    /// Name conflicts met.
    name_conflicts,
    /// Times that this process got no time, so that nobody was held to be silent.
    starved,
}
