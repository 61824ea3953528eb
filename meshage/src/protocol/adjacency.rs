//! The links of this node, and the stage of each.
//!
//! ```text
//!  hellos exchanged ──► Candidate ──both Admits──► Exchange ──both Synced──► Full
//!                           └──────── Refuse, silence, close: ended ────────────┘
//! ```
//!
//! A candidate for which this node has sent its Admit is **promised**. Promised links and all links
//! in later stages count towards the degree. Links in the stages Exchange and Full are
//! **admitted**: announcements are flooded over them. Only full links are announced and carry
//! messages. The table makes no decisions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::discovery::DialCause;
use super::exchange::DatabaseExchange;
use super::intake::Intake;
use super::io::Role;
use crate::name::{Instance, LinkId, NodeName};
use crate::wire::hello::Purpose;

/// A link is dead if no byte arrives for this long: three keep-alives.
pub(super) const DEAD_INTERVAL: Duration = Duration::from_secs(3);
/// The interval between the keep-alives on a link.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// The stage of a link.
#[derive(Debug)]
pub(super) enum Stage {
    /// Hellos were exchanged.
    Candidate {
        /// The `other_link` of the Admit that this node sent; `None` if it has sent none.
        promised: Option<bool>,
    },
    /// Both ends have admitted the link.
    Exchange(DatabaseExchange),
    /// The link carries messages.
    Full,
}

/// A link, or a connection that may become one.
#[derive(Debug)]
pub(super) struct Link {
    /// The name of the node at the other end.
    pub(super) peer: NodeName,
    /// Its instance.
    pub(super) instance: Instance,
    /// Which end made the connection.
    pub(super) role: Role,
    /// Why it was made.
    pub(super) purpose: Purpose,
    /// Why this node dialled, if it did. Taken when the link no longer belongs to the dial.
    pub(super) cause: Option<DialCause>,
    pub(super) stage: Stage,
    /// The `other_link` of the peer's Admit: it had another link to this node. Cleared once the
    /// link is full.
    pub(super) peer_had_other: bool,
    /// When the last byte arrived.
    pub(super) last_received: Instant,
    /// When both ends had admitted the link. Before that: when the hellos had been exchanged.
    pub(super) since: Instant,
    /// What the link has brought of late.
    pub(super) intake: Intake,
}

impl Link {
    /// Whether both ends have admitted the link.
    pub(super) fn is_admitted(&self) -> bool {
        match self.stage {
            Stage::Candidate { .. } => false,
            Stage::Exchange(_) | Stage::Full => true,
        }
    }

    /// Whether the link counts towards the degree.
    pub(super) fn counts(&self) -> bool {
        match self.stage {
            Stage::Candidate { promised } => promised.is_some(),
            Stage::Exchange(_) | Stage::Full => true,
        }
    }

    /// Whether the link carries messages.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.stage, Stage::Full)
    }
}

/// All links, by number.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
}

impl Links {
    pub(super) fn insert(&mut self, id: LinkId, link: Link) {
        let before = self.links.insert(id, link);
        assert!(before.is_none(), "invariant C2: link number {id} was not used before");
    }

    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link> {
        self.links.remove(&id)
    }

    pub(super) fn find(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    pub(super) fn find_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    /// The number of links, candidates included.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The number of links that count towards the degree.
    pub(super) fn counted(&self) -> usize {
        self.links.values().filter(|link| link.counts()).count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.links.iter().map(|(&id, link)| (id, link))
    }

    /// The links to an instance of a node, in any stage.
    pub(super) fn to(&self, instance: Instance) -> impl Iterator<Item = (LinkId, &Link)> {
        self.iter().filter(move |(_, link)| link.instance == instance)
    }

    /// An admitted link to an instance of a node.
    pub(super) fn admitted_to(&self, instance: Instance) -> Option<LinkId> {
        self.to(instance).find(|(_, link)| link.is_admitted()).map(|(id, _)| id)
    }

    /// Whether there is a full link to an instance of a node.
    pub(super) fn is_full_to(&self, instance: Instance) -> bool {
        self.to(instance).any(|(_, link)| link.is_full())
    }

    /// The admitted links.
    pub(super) fn admitted(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.iter().filter(|(_, link)| link.is_admitted())
    }

    /// The full links, by peer. Of several links to one peer the newest, since the others will be
    /// closed.
    pub(super) fn full(&self) -> BTreeMap<Instance, LinkId> {
        self.iter()
            .filter(|(_, link)| link.is_full())
            .map(|(id, link)| (link.instance, id))
            .collect()
    }

    /// Records that bytes arrived on a link.
    pub(super) fn received(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.links.get_mut(&id) {
            link.last_received = now;
        }
    }

    /// Measures the silence of every link anew, since this process had no time to read.
    pub(super) fn restart_silence(&mut self, now: Instant) {
        for link in self.links.values_mut() {
            link.last_received = now;
        }
    }

    /// The links on which no byte arrived for the dead interval.
    pub(super) fn silent(&self, now: Instant) -> Vec<LinkId> {
        let silent = |link: &Link| link.last_received + DEAD_INTERVAL <= now;
        self.iter().filter(|(_, link)| silent(link)).map(|(id, _)| id).collect()
    }

    /// The earliest time at which a link may be found silent.
    pub(super) fn next_silent(&self) -> Option<Instant> {
        self.links.values().map(|link| link.last_received + DEAD_INTERVAL).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(instance: u64, stage: Stage, now: Instant) -> Link {
        Link {
            peer: NodeName::new("b").expect("valid"),
            instance: Instance(instance),
            role: Role::Listener,
            purpose: Purpose::Dialled,
            cause: None,
            stage,
            peer_had_other: false,
            last_received: now,
            since: now,
            intake: Intake::new(now),
        }
    }

    #[test]
    fn a_link_counts_once_it_is_promised_and_carries_messages_once_it_is_full() {
        let now = Instant::now();
        let mut links = Links::default();
        links.insert(LinkId(1), link(1, Stage::Candidate { promised: None }, now));
        links.insert(LinkId(2), link(2, Stage::Candidate { promised: Some(false) }, now));
        links.insert(LinkId(3), link(3, Stage::Exchange(DatabaseExchange::default()), now));
        links.insert(LinkId(4), link(4, Stage::Full, now));
        assert_eq!((links.len(), links.counted(), links.admitted().count()), (4, 3, 2));
        assert_eq!(links.full(), BTreeMap::from([(Instance(4), LinkId(4))]));
    }

    #[test]
    fn silence_is_measured_from_the_last_byte() {
        let now = Instant::now();
        let mut links = Links::default();
        links.insert(LinkId(1), link(1, Stage::Full, now));
        links.insert(LinkId(2), link(2, Stage::Full, now));
        links.received(LinkId(2), now + Duration::from_secs(1));
        assert_eq!(links.next_silent(), Some(now + DEAD_INTERVAL));
        assert_eq!(links.silent(now + DEAD_INTERVAL), [LinkId(1)]);
        links.restart_silence(now + DEAD_INTERVAL);
        assert!(links.silent(now + DEAD_INTERVAL).is_empty());
    }
}
