//! The links of this node and how far each has come.
//!
//! ```text
//!  hellos exchanged ──► Candidate ──both Admits──► Exchange ──both Synced──► Full
//!                           └──────── Refuse, silence, close: gone ────────────┘
//! ```
//!
//! A candidate to which this node has sent its Admit is **promised**; a promised, levelling or full
//! link counts towards the degree. Exchanging and full links are **admitted**: announcements are
//! flooded over them. Only full ones are announced and carry messages. The table decides nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::discovery::Cause;
use super::flood::DatabaseExchange;
use super::io::Role;
use crate::name::{Instance, LinkId, NodeName};
use crate::wire::hello::Purpose;

/// Not a byte for so long, and a link is dead: three keep-alives.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(3);
/// How often each link gets a sign of life.
pub(super) const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);

/// How far a link has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Hellos were exchanged.
    Candidate {
        /// What this node said of other links in its Admit; `None` where it has sent none.
        promised: Option<bool>,
    },
    /// Both ends have admitted it.
    Exchange(DatabaseExchange),
    /// It carries messages.
    Full,
}

/// One link, or what may become one.
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
    /// Why this node dialled, if it did; taken when whoever asked has been told.
    pub(super) cause: Option<Cause>,
    pub(super) stage: Stage,
    /// The other end said, when it admitted this link, that it had another one to this node. No
    /// longer kept once the link is full.
    pub(super) peer_had_other: bool,
    /// When the last byte arrived.
    pub(super) heard: Instant,
    /// When both ends had admitted it; before that, when the hellos had been exchanged.
    pub(super) since: Instant,
}

impl Link {
    /// Both ends have admitted it.
    pub(super) fn is_admitted(&self) -> bool {
        match self.stage {
            Stage::Candidate { .. } => false,
            Stage::Exchange(_) | Stage::Full => true,
        }
    }

    /// It counts towards the degree.
    pub(super) fn counts(&self) -> bool {
        match self.stage {
            Stage::Candidate { promised } => promised.is_some(),
            Stage::Exchange(_) | Stage::Full => true,
        }
    }

    /// It carries messages.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.stage, Stage::Full)
    }
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
}

impl Links {
    pub(super) fn insert(&mut self, id: LinkId, link: Link) {
        let before = self.links.insert(id, link);
        assert!(before.is_none(), "invariant C2: {id} is a number never used before");
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

    /// How many there are, candidates included.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many count towards the degree.
    pub(super) fn counted(&self) -> usize {
        self.links.values().filter(|link| link.counts()).count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.links.iter().map(|(&id, link)| (id, link))
    }

    /// Those to one life of a node, whatever their stage.
    pub(super) fn to(&self, instance: Instance) -> impl Iterator<Item = (LinkId, &Link)> {
        self.iter().filter(move |(_, link)| link.instance == instance)
    }

    /// An admitted one to one life of a node.
    pub(super) fn admitted_to(&self, instance: Instance) -> Option<LinkId> {
        self.to(instance).find(|(_, link)| link.is_admitted()).map(|(id, _)| id)
    }

    /// Whether messages can go to this peer at once.
    pub(super) fn is_full_to(&self, instance: Instance) -> bool {
        self.to(instance).any(|(_, link)| link.is_full())
    }

    /// The admitted ones.
    pub(super) fn admitted(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.iter().filter(|(_, link)| link.is_admitted())
    }

    /// The full ones, by peer; of several to one peer the newest, since the others are about to go.
    pub(super) fn full(&self) -> BTreeMap<Instance, LinkId> {
        self.iter()
            .filter(|(_, link)| link.is_full())
            .map(|(id, link)| (link.instance, id))
            .collect()
    }

    /// A byte arrived.
    pub(super) fn heard(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.links.get_mut(&id) {
            link.heard = now;
        }
    }

    /// This process got no time to hear anything: every link starts anew.
    pub(super) fn grace(&mut self, now: Instant) {
        for link in self.links.values_mut() {
            link.heard = now;
        }
    }

    /// Those on which nothing was heard for the dead interval.
    pub(super) fn silent(&self, now: Instant) -> Vec<LinkId> {
        let silent = |link: &Link| link.heard + DEAD_AFTER <= now;
        self.iter().filter(|(_, link)| silent(link)).map(|(id, _)| id).collect()
    }

    /// When the next one may turn out to be silent.
    pub(super) fn next_silent(&self) -> Option<Instant> {
        self.links.values().map(|link| link.heard + DEAD_AFTER).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(instance: u64, stage: Stage, heard: Instant) -> Link {
        Link {
            peer: NodeName::new("b").expect("valid"),
            instance: Instance(instance),
            role: Role::Listener,
            purpose: Purpose::Dialled,
            cause: None,
            stage,
            peer_had_other: false,
            heard,
            since: heard,
        }
    }

    #[test]
    fn a_link_counts_from_the_promise_on_and_carries_messages_when_full() {
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
    fn silence_is_counted_from_the_last_byte() {
        let now = Instant::now();
        let mut links = Links::default();
        links.insert(LinkId(1), link(1, Stage::Full, now));
        links.insert(LinkId(2), link(2, Stage::Full, now));
        links.heard(LinkId(2), now + Duration::from_secs(1));
        assert_eq!(links.next_silent(), Some(now + DEAD_AFTER));
        assert_eq!(links.silent(now + DEAD_AFTER), [LinkId(1)]);
        links.grace(now + DEAD_AFTER);
        assert!(links.silent(now + DEAD_AFTER).is_empty());
    }
}
