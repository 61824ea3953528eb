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
use super::membership::Standing;
use super::silence::{DEAD_INTERVAL_MAX, Silence};
use crate::name::{Instance, LinkId, NodeName};
use crate::wire::hello::Purpose;

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
    /// What its name is based on, at levels allowed and signed.
    pub(super) standing: Option<Standing>,
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
    /// When bytes arrived, and when the link is dead.
    pub(super) silence: Silence,
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

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Link)> {
        self.links.iter_mut().map(|(&id, link)| (id, link))
    }

    /// The longest round trip of the links, as far as it was measured.
    pub(super) fn longest_round_trip(&self) -> Option<Duration> {
        self.links.values().filter_map(|link| link.silence.round_trip()).max()
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
            link.silence.received(now);
        }
    }

    /// Measures the silence of every link anew, since this process had no time to read.
    pub(super) fn restart_silence(&mut self, now: Instant) {
        for link in self.links.values_mut() {
            link.silence.restart(now);
        }
    }

    /// How long each link may be silent: if all of several links are late, the fault is probably
    /// near this node, and waiting costs nothing.
    fn dead_interval(&self, now: Instant) -> impl Fn(&Link) -> Duration + use<> {
        let doubtful = self.len() > 1 && self.links.values().all(|link| link.silence.is_late(now));
        move |link| if doubtful { DEAD_INTERVAL_MAX } else { link.silence.dead_interval() }
    }

    /// The links on which no byte arrived for the dead interval, with the interval.
    pub(super) fn silent(&self, now: Instant) -> Vec<(LinkId, Duration)> {
        let dead_interval = self.dead_interval(now);
        let links = self.iter().map(|(id, link)| (id, dead_interval(link), link));
        links
            .filter(|(_, dead, link)| link.silence.last_received() + *dead <= now)
            .map(|(id, dead, _)| (id, dead))
            .collect()
    }

    /// The links on which a keep-alive is missing, and a Probe is due. It counts as sent.
    pub(super) fn take_probes(&mut self, now: Instant) -> Vec<LinkId> {
        let links = self.links.iter_mut();
        links.filter_map(|(id, link)| link.silence.takes_probe(now).then_some(*id)).collect()
    }

    /// The earliest time at which a Probe may be due, or a link found silent.
    pub(super) fn next_silent(&self, now: Instant) -> Option<Instant> {
        let dead_interval = self.dead_interval(now);
        let next = |link: &Link| link.silence.next(dead_interval(link));
        self.links.values().map(next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::silence::KEEP_ALIVE_INTERVAL;
    use super::*;

    fn link(instance: u64, stage: Stage, now: Instant) -> Link {
        Link {
            peer: NodeName::new("b").expect("valid"),
            instance: Instance(instance),
            standing: None,
            role: Role::Listener,
            purpose: Purpose::Dialled,
            cause: None,
            stage,
            peer_had_other: false,
            silence: Silence::new(now),
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

    /// Two links on which keep-alives arrived in time, and the time of the last ones.
    fn regular_links(now: Instant) -> (Links, Instant) {
        let mut links = Links::default();
        for number in [1, 2] {
            links.insert(LinkId(number), link(number, Stage::Full, now));
        }
        let last = now + 20 * KEEP_ALIVE_INTERVAL;
        for at in (1..=20).map(|number| now + number * KEEP_ALIVE_INTERVAL) {
            for link in links.links.values_mut() {
                link.silence.takes_measurement(at);
                link.silence.answered(at);
                link.silence.received(at);
            }
        }
        (links, last)
    }

    #[test]
    fn silence_is_measured_from_the_last_byte() {
        let now = Instant::now();
        let mut links = Links::default();
        links.insert(LinkId(1), link(1, Stage::Full, now));
        links.insert(LinkId(2), link(2, Stage::Full, now));
        links.received(LinkId(2), now + Duration::from_secs(2));
        let dead = now + DEAD_INTERVAL_MAX;
        assert!(links.silent(dead - Duration::from_millis(1)).is_empty());
        assert_eq!(links.silent(dead), [(LinkId(1), DEAD_INTERVAL_MAX)]);
        links.restart_silence(dead);
        assert!(links.silent(dead).is_empty());
    }

    #[test]
    fn a_node_waits_longer_if_all_its_links_are_silent() {
        let (mut links, last) = regular_links(Instant::now());
        let short = Duration::from_millis(1300);
        assert!(links.silent(last + short).is_empty(), "both are late");
        assert_eq!(links.silent(last + DEAD_INTERVAL_MAX).len(), 2);
        links.received(LinkId(2), last + Duration::from_secs(1));
        assert_eq!(links.silent(last + short), [(LinkId(1), short)]);
        links.remove(LinkId(2));
        assert_eq!(links.silent(last + short), [(LinkId(1), short)], "its only link");
    }

    #[test]
    fn a_probe_is_due_as_soon_as_a_keep_alive_is_missing() {
        let (mut links, last) = regular_links(Instant::now());
        let at = |ms: u64| last + Duration::from_millis(ms);
        links.received(LinkId(2), at(900));
        assert_eq!(links.next_silent(at(900)), Some(at(1075)));
        assert!(links.take_probes(at(1074)).is_empty());
        assert_eq!(links.take_probes(at(1075)), [LinkId(1)]);
        assert!(links.take_probes(at(1075)).is_empty());
        assert_eq!(links.next_silent(at(1075)), Some(at(1150)));
        assert_eq!(links.take_probes(at(1290)), [LinkId(1)], "one, however late");
        assert_eq!(links.next_silent(at(1290)), Some(at(1300)));
    }
}
