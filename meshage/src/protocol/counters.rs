//! The router's counters. Every limit has its counter here.

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
    /// Solicitations sent.
    solicitations_sent,
    /// Beacons sent.
    beacons_sent,
    /// Solicitations and beacons received from other nodes of this namespace.
    solicitations_received,
    /// Solicitations received from other namespaces.
    solicitations_foreign,
    /// Solicitations of this node that came back to it.
    solicitations_own,
    /// Solicitations received without a port.
    solicitations_malformed,
    /// Copies of a solicitation that arrived over a further interface.
    solicitations_copied,
    /// Solicitations and beacons that could not be sent to any address.
    solicitations_unsent,
    /// Interfaces or addresses of this machine that came up, counted together if close in time.
    network_changes,
    /// Solicitations dropped because too many arrived.
    solicitations_limited,
    /// Response dials not scheduled because too many were pending.
    response_dials_limited,
    /// Solicitations not responded to, because dials to their address or host had failed.
    response_dials_backed_off,
    /// Dials started, for any reason.
    dials_started,
    /// Dials that did not lead to a connection.
    dials_failed,
    /// Solicitations not responded to, because the links to their sender had failed again and again.
    response_dials_damped,
    /// Response dials dropped because too many dials had been started.
    dials_limited,
    /// Links admitted.
    links_admitted,
    /// Links that ended after they had been admitted.
    links_lost,
    /// Links closed because no byte arrived during the dead interval.
    links_silent,
    /// Connections that this node refused.
    links_refused,
    /// Connections refused because this node has the maximum number of links.
    links_limited,
    /// Connections that the other end refused.
    links_refused_by_peer,
    /// Connections closed because admission or the database exchange took too long.
    links_timed_out,
    /// Links closed because the other end violated the protocol.
    breaches,
    /// Announcements that this node originated.
    announcements_originated,
    /// Changes of this node's links whose announcement waited because of a limit.
    announcements_limited,
    /// Announcements of other nodes that were new.
    announcements_installed,
    /// Announcements received that were not new.
    announcements_stale,
    /// Copies of announcements sent.
    announcements_sent,
    /// Announcements that a peer had and this node did not, or the reverse, and that a comparison of
    /// the databases showed.
    differences_found,
    /// Frames that compare databases and were not answered, because one link brought too many.
    comparisons_limited,
    /// Announcements that a peer beside the tree was told about.
    announcements_offered,
    /// Announcements requested because a peer had them and they had not arrived over the tree.
    announcements_requested,
    /// Probes sent because a keep-alive was missing.
    probes_sent,
    /// Probes that were not answered, because one link brought too many.
    probes_limited,
    /// Announcements that were postponed, because one link brought too many.
    announcements_postponed,
    /// Announcements dropped because too many were postponed.
    announcements_dropped,
    /// Names of failed nodes that were ignored, because one link brought too many.
    claims_limited,
    /// Announcements dropped because the database was full.
    database_limited,
    /// Announcements and revocations dropped because no correct node sends them: a signature is wrong,
    /// or an instance or a name belongs to another key.
    announcements_forged,
    /// Connections refused because the instance in the hello belongs to another key.
    instances_forged,
    /// Announcements dropped because this node does not allow their originator: its ticket has ended
    /// or was revoked, or its key is not on the list.
    announcements_not_allowed,
    /// Signed announcements dropped because the key of their originator was not known.
    announcements_without_key,
    /// Announcements and revocations dropped because too many signatures of one peer had been verified.
    verifications_limited,
    /// Revocations taken.
    revocations_installed,
    /// Revocations dropped because they were known, or their tickets had ended.
    revocations_stale,
    /// Revocations dropped because too many others are kept.
    revocations_limited,
    /// Links closed, or refused after the handshake, because the ticket of the peer had ended.
    tickets_ended,
    /// Links closed, or refused after the handshake, because the ticket of the peer was revoked.
    tickets_revoked,
    /// Nodes removed from the database because they were unreachable for too long.
    nodes_expired,
    /// Computations of the routes.
    routes_computed,
    /// Names of failed nodes that were forgotten because too many had failed.
    former_holders_limited,
    /// Name conflicts detected.
    name_conflicts,
    /// Connections and links that ended because the two nodes have no key in common.
    denied_no_common_key,
    /// Connections that ended because this node has a key and the other one does not encrypt.
    denied_plaintext,
    /// Connections that ended because this node has no key and the other one requires one.
    denied_sealed,
    /// Connections that ended because the two nodes are configured for different levels.
    denied_level,
    /// Connections and links that ended because of bytes that no holder of the key has written.
    denied_not_authentic,
    /// Connections that this node ended because the public key of the other one is not allowed.
    denied_not_allowed,
    /// Connections and links that this node ended because of the ticket of the other one.
    denied_ticket,
    /// Connections and links that the other end refused because this node lacks a key or a right.
    denied_by_peer,
    /// Nodes without a common key that were not reported, because their address, or too many
    /// others, had been reported a short time ago.
    key_mismatches_unreported,
    /// Timers that ran so late that the silence of all links was measured anew.
    late_wakeups,
}
