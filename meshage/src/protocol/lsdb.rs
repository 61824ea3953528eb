//! The link-state database: the latest announcement of every other node.
//!
//! Owns the announcements, and the times since which nodes are unreachable. It has no links: the
//! caller that installs an announcement decides where to flood it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::comparison::{self, Item};
use super::membership::{Signed, Standing};
use crate::event::Departure;
use crate::name::{Age, Instance, NodeName, Sequence};
use crate::route::{Record, RouteTable};
use crate::secure::UnixMillis;
use crate::wire::control::{Announcement, FormerHolder};

/// The most nodes in the database: 131,072, ten times more than any planned mesh, in about 20 MB.
pub(super) const DATABASE_MAX: usize = 131_072;

/// How a received announcement relates to the known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// No announcement of its instance is known.
    Unknown,
    /// It is newer.
    Newer,
    /// It has the sequence of the known one, which would be revived.
    Revives,
    /// It is the known one, or an older one.
    Stale,
}

/// The result of installing an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The first of its instance.
    New,
    /// A newer one with other peers.
    Changed,
    /// A newer one with the same peers.
    Refreshed,
    /// The known one, of a node that had become unreachable: other nodes may have removed it.
    Revived,
    /// The known one.
    Same,
    /// An older one.
    Older,
    /// The first of its instance, but the database is full.
    NoRoom,
}

/// The nodes that became reachable or unreachable.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReachabilityChanges {
    /// Those that became reachable, each with the time at which its announcement was last flooded.
    pub(super) appeared: Vec<(Instance, Instant)>,
    /// Those that became unreachable without announcing that they leave.
    pub(super) lost: Vec<FormerHolder>,
}

/// The place of an entry, fixed as long as the entry exists.
type Index = u32;

#[derive(Debug)]
struct Entry {
    announcement: Announcement,
    digest: u64,
    /// At levels allowed and signed: the signature and the credential.
    signed: Option<Box<Signed>>,
    /// Since when the node is unreachable; `None` while it is reachable.
    unreachable: Option<Instant>,
    /// Whether it has become unreachable, and no copy of its announcement has arrived since.
    lost: bool,
    /// When the announcement was last flooded.
    flooded_at: Instant,
}

/// The latest announcement of every other node.
#[derive(Debug, Default)]
pub(super) struct Lsdb {
    /// The entries; free places are listed in `free`.
    entries: Vec<Option<Entry>>,
    free: Vec<Index>,
    by_instance: BTreeMap<Instance, Index>,
    /// In the order that the computation of routes needs, so that it does not have to sort.
    by_name: BTreeSet<(NodeName, Instance, Index)>,
    /// The unreachable nodes, the longest unreachable first.
    unreachable: BTreeSet<(Instant, Instance)>,
    /// At levels allowed and signed: the ends of the tickets, the first one first.
    by_end: BTreeSet<(UnixMillis, Instance)>,
    /// The sum of the digests of the reachable nodes, if it was computed since the last change.
    digest: Option<u64>,
    /// Replaces [`DATABASE_MAX`] in tests.
    limit: Option<usize>,
}

impl Entry {
    fn item(&self, instance: Instance) -> Item {
        Item { instance, sequence: self.announcement.sequence, digest: self.digest }
    }

    /// How an announcement compares with this one. Of two different announcements with one sequence
    /// number one is false. All nodes keep the same one, so that the originator receives a false one
    /// that is kept, and corrects it.
    fn age_of(&self, announcement: &Announcement, digest: u64) -> Age {
        match announcement.sequence.age(self.announcement.sequence) {
            Age::Same if digest > self.digest => Age::Newer,
            Age::Same if digest < self.digest => Age::Older,
            age @ (Age::Newer | Age::Same | Age::Older) => age,
        }
    }
}

impl Lsdb {
    /// How an announcement with this sequence relates to the known one.
    pub(super) fn freshness(&self, instance: Instance, sequence: Sequence) -> Freshness {
        let Some(entry) = self.entry(instance) else { return Freshness::Unknown };
        match sequence.age(entry.announcement.sequence) {
            Age::Newer => Freshness::Newer,
            Age::Same if entry.lost => Freshness::Revives,
            Age::Same | Age::Older => Freshness::Stale,
        }
    }

    /// Installs an announcement if it is newer than the known one. At levels allowed and signed,
    /// the caller has verified its signature, and passes it.
    pub(super) fn install(
        &mut self,
        announcement: Announcement,
        signed: Option<Box<Signed>>,
        now: Instant,
    ) -> Verdict {
        let instance = announcement.instance;
        let Some(&index) = self.by_instance.get(&instance) else {
            if !self.make_room() {
                return Verdict::NoRoom;
            }
            self.insert(announcement, signed, now);
            return Verdict::New;
        };
        let Some(entry) = &mut self.entries[index as usize] else { return Verdict::NoRoom };
        let digest = comparison::digest(&announcement);
        let age = entry.age_of(&announcement, digest);
        match age {
            Age::Older if !planted!(OlderAnnouncementInstalled) => return Verdict::Older,
            Age::Same if !entry.lost => return Verdict::Same,
            Age::Same | Age::Newer | Age::Older => {}
        }
        self.digest = None;
        let changed = announcement.peers != entry.announcement.peers
            || announcement.claim != entry.announcement.claim;
        entry.lost = false;
        entry.flooded_at = now;
        if let Some(since) = entry.unreachable.replace(now) {
            self.unreachable.remove(&(since, instance));
            self.unreachable.insert((now, instance));
        } else {
            entry.unreachable = None;
        }
        if age == Age::Same {
            return Verdict::Revived;
        }
        entry.digest = digest;
        // An instance keeps its first name: a different name would be another node's.
        entry.announcement.sequence = announcement.sequence;
        entry.announcement.peers = announcement.peers;
        entry.announcement.leaving = announcement.leaving;
        entry.announcement.claim = announcement.claim;
        let end = |signed: &Option<Box<Signed>>| signed.as_ref()?.standing.ends();
        if let Some(end) = end(&entry.signed) {
            self.by_end.remove(&(end, instance));
        }
        if let Some(end) = end(&signed) {
            self.by_end.insert((end, instance));
        }
        entry.signed = signed;
        if age == Age::Older {
            return Verdict::Older;
        }
        if changed { Verdict::Changed } else { Verdict::Refreshed }
    }

    /// Whether an announcement is new, or newer than the known one of its originator.
    pub(super) fn is_news(&self, announcement: &Announcement) -> bool {
        let digest = comparison::digest(announcement);
        let known = self.entry(announcement.instance);
        known.is_none_or(|known| known.age_of(announcement, digest) == Age::Newer)
    }

    fn insert(&mut self, announcement: Announcement, signed: Option<Box<Signed>>, now: Instant) {
        let instance = announcement.instance;
        let name = announcement.name.clone();
        if let Some(end) = signed.as_ref().and_then(|signed| signed.standing.ends()) {
            self.by_end.insert((end, instance));
        }
        let (unreachable, flooded_at) = (Some(now), now);
        let digest = comparison::digest(&announcement);
        let entry = Entry { announcement, digest, signed, unreachable, lost: false, flooded_at };
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as Index
        });
        self.entries[index as usize] = Some(entry);
        self.by_instance.insert(instance, index);
        self.by_name.insert((name, instance, index));
        self.unreachable.insert((now, instance));
    }

    /// Makes room for one more node, if necessary by removing the one that has been unreachable for
    /// the longest time. Returns false if there is none.
    fn make_room(&mut self) -> bool {
        if self.len() < self.limit.unwrap_or(DATABASE_MAX) {
            return true;
        }
        let Some((_, instance)) = self.unreachable.pop_first() else {
            return false;
        };
        self.remove(instance);
        true
    }

    /// Replaces the announcement of a node by an older one, in which its first peer is missing.
    #[cfg(feature = "sim")]
    pub(super) fn set_back(&mut self, instance: Instance) {
        let Some(&index) = self.by_instance.get(&instance) else { return };
        let Some(entry) = &mut self.entries[index as usize] else { return };
        let Announcement { sequence, peers, .. } = &mut entry.announcement;
        if *sequence == Sequence::FIRST || peers.is_empty() {
            return;
        }
        sequence.0 -= 1;
        peers.remove(0);
        entry.digest = comparison::digest(&entry.announcement);
        self.digest = None;
    }

    pub(super) fn remove(&mut self, instance: Instance) {
        let Some(index) = self.by_instance.remove(&instance) else { return };
        let Some(entry) = self.entries[index as usize].take() else { return };
        self.digest = None;
        self.by_name.remove(&(entry.announcement.name, instance, index));
        if let Some(since) = entry.unreachable {
            self.unreachable.remove(&(since, instance));
        }
        if let Some(end) = entry.signed.and_then(|signed| signed.standing.ends()) {
            self.by_end.remove(&(end, instance));
        }
        self.free.push(index);
    }

    /// Removes the nodes whose standing has ended according to `has_ended`, and returns their names.
    pub(super) fn remove_ended(&mut self, has_ended: impl Fn(&Standing) -> bool) -> Vec<NodeName> {
        let entries = self.entries.iter().flatten();
        let ended = entries.filter(|entry| {
            let standing = entry.signed.as_ref().map(|signed| &signed.standing);
            standing.is_some_and(&has_ended)
        });
        let of = |entry: &Entry| (entry.announcement.name.clone(), entry.announcement.instance);
        let ended: Vec<(NodeName, Instance)> = ended.map(of).collect();
        let remove = |(name, instance)| {
            self.remove(instance);
            name
        };
        ended.into_iter().map(remove).collect()
    }

    /// When the first ticket of a node ends, at levels allowed and signed.
    pub(super) fn first_end(&self) -> Option<UnixMillis> {
        self.by_end.first().map(|(end, _)| *end)
    }

    fn entry(&self, instance: Instance) -> Option<&Entry> {
        let index = *self.by_instance.get(&instance)?;
        self.entries[index as usize].as_ref()
    }

    /// The signature and the credential of a node, at levels allowed and signed.
    pub(super) fn signed(&self, instance: Instance) -> Option<&Signed> {
        self.entry(instance)?.signed.as_deref()
    }

    /// Whether a node is known and reachable.
    pub(super) fn is_reachable(&self, instance: Instance) -> bool {
        self.entry(instance).is_some_and(|entry| entry.unreachable.is_none())
    }

    /// Records which nodes are reachable, and returns the changes.
    pub(super) fn update_reachability(
        &mut self,
        routes: &RouteTable,
        now: Instant,
    ) -> ReachabilityChanges {
        let mut changes = ReachabilityChanges::default();
        self.digest = None;
        for (&instance, &index) in &self.by_instance {
            let Some(entry) = &mut self.entries[index as usize] else { continue };
            match (routes.contains(instance), entry.unreachable) {
                (true, Some(since)) => {
                    self.unreachable.remove(&(since, instance));
                    entry.unreachable = None;
                    entry.lost = false;
                    changes.appeared.push((instance, entry.flooded_at));
                }
                (false, None) => {
                    self.unreachable.insert((now, instance));
                    entry.unreachable = Some(now);
                    entry.lost = true;
                    let Announcement { name, claim, leaving, .. } = &entry.announcement;
                    if !leaving {
                        let (name, claim) = (name.clone(), *claim);
                        changes.lost.push(FormerHolder { name, instance, claim });
                    }
                }
                (true, None) | (false, Some(_)) => {}
            }
        }
        changes
    }

    /// Removes the nodes that have been unreachable since `before` or longer. Returns how many.
    pub(super) fn expire(&mut self, before: Instant) -> u64 {
        let mut expired = 0;
        while let Some(&(since, instance)) = self.unreachable.first() {
            if since > before {
                break;
            }
            self.unreachable.pop_first();
            self.remove(instance);
            expired += 1;
        }
        expired
    }

    /// The earliest time since which a node is unreachable.
    pub(super) fn unreachable_since(&self) -> Option<Instant> {
        self.unreachable.first().map(|(since, _)| *since)
    }

    /// The sum of the digests of the reachable nodes.
    pub(super) fn digest(&mut self) -> u64 {
        let sum = self
            .digest
            .unwrap_or_else(|| self.items().fold(0_u64, |sum, item| sum.wrapping_add(item.digest)));
        self.digest = Some(sum);
        sum
    }

    /// The announcements of the reachable nodes, by ascending instance.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        self.by_instance.iter().filter_map(|(&instance, &index)| {
            let entry = self.entries[index as usize].as_ref()?;
            entry.unreachable.is_none().then(|| entry.item(instance))
        })
    }

    /// The announcement of a node, reachable or not.
    pub(super) fn item(&self, instance: Instance) -> Option<Item> {
        self.entry(instance).map(|entry| entry.item(instance))
    }

    /// The latest announcement of a node.
    pub(super) fn announcement(&self, instance: Instance) -> Option<&Announcement> {
        self.entry(instance).map(|entry| &entry.announcement)
    }

    /// How a node departed that is no longer reachable.
    pub(super) fn departure(&self, instance: Instance) -> Departure {
        match self.announcement(instance) {
            Some(known) if known.leaving => Departure::Left,
            Some(_) | None => Departure::Failed,
        }
    }

    /// The number of known nodes, reachable or not.
    pub(super) fn len(&self) -> usize {
        self.by_instance.len()
    }

    /// All entries, in the order that the computation of routes needs: by name, then instance.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.by_name.iter().filter_map(|(name, instance, index)| {
            let entry = self.entries[*index as usize].as_ref()?;
            let announcement = &entry.announcement;
            let (claim, peers) = (announcement.claim, &announcement.peers);
            Some(Record { name, instance: *instance, claim, peers })
        })
    }

    /// The nodes that can be reached from `peers` over links that both ends announce, including
    /// those of `peers` that are known, each with the sequence of its announcement, in ascending
    /// order.
    pub(super) fn reachable_from(
        &self,
        peers: impl IntoIterator<Item = Instance>,
    ) -> Vec<(Instance, Sequence)> {
        let mut found: BTreeMap<Instance, Sequence> = BTreeMap::new();
        let mut stack: Vec<Instance> = peers.into_iter().collect();
        while let Some(instance) = stack.pop() {
            let Some(announcement) = self.announcement(instance) else { continue };
            if found.insert(instance, announcement.sequence).is_some() {
                continue;
            }
            let both_announce = |peer: &Instance| {
                let back = self.announcement(*peer);
                back.is_some_and(|back| back.peers.binary_search(&instance).is_ok())
            };
            let next = announcement.peers.iter().copied();
            stack.extend(next.filter(|peer| !found.contains_key(peer) && both_announce(peer)));
        }
        found.into_iter().collect()
    }

    /// Invariants C4 and C5.
    pub(super) fn check(&self, me: Instance) {
        assert!(self.len() <= DATABASE_MAX, "invariant C4: the database is bounded");
        assert!(
            !self.by_instance.contains_key(&me),
            "invariant C4: it contains no announcement of this node"
        );
        let entries = self.entries.iter().flatten();
        assert_eq!(self.len(), entries.clone().count(), "invariant C4: each entry has an instance");
        assert_eq!(self.len(), self.by_name.len(), "invariant C4: each entry has a name");
        let end = |entry: &Entry| {
            let end = entry.signed.as_ref()?.standing.ends()?;
            Some((end, entry.announcement.instance))
        };
        let ends: BTreeSet<_> = entries.clone().filter_map(end).collect();
        assert_eq!(ends, self.by_end, "invariant C4: each entry is removed when its ticket ends");
        let unreachable: BTreeSet<_> = entries
            .filter_map(|entry| entry.unreachable.map(|since| (since, entry.announcement.instance)))
            .collect();
        assert_eq!(
            unreachable, self.unreachable,
            "invariant C5: every unreachable node will expire"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::name::Claim;

    fn announcement(instance: u64, sequence: u32, peers: &[u64]) -> Announcement {
        Announcement {
            name: NodeName::new(&format!("n{instance}")).expect("valid"),
            instance: Instance(instance),
            sequence: Sequence(sequence),
            claim: Claim::FIRST,
            leaving: false,
            peers: peers.iter().copied().map(Instance).collect(),
        }
    }

    fn routes(peers: &[u64], lsdb: &Lsdb) -> RouteTable {
        let links = peers.iter().map(|&peer| (Instance(peer), crate::name::LinkId(peer))).collect();
        let name = NodeName::new("me").expect("valid");
        RouteTable::compute(&name, Instance(100), lsdb.records(), &links)
    }

    #[test]
    fn of_two_announcements_with_one_sequence_all_nodes_keep_the_same() {
        let now = Instant::now();
        let (one, other) = (announcement(1, 2, &[2]), announcement(1, 2, &[3]));
        let kept = |first: &Announcement, second: &Announcement| {
            let mut lsdb = Lsdb::default();
            lsdb.install(first.clone(), None, now);
            let is_news = lsdb.is_news(second);
            let verdict = lsdb.install(second.clone(), None, now);
            assert_eq!(verdict, if is_news { Verdict::Changed } else { Verdict::Older });
            lsdb.announcement(Instance(1)).expect("known").peers.clone()
        };
        assert_eq!(kept(&one, &other), kept(&other, &one));
    }

    #[test]
    fn only_a_newer_announcement_replaces_the_known_one() {
        let now = Instant::now();
        let mut lsdb = Lsdb::default();
        assert_eq!(lsdb.install(announcement(1, 2, &[2]), None, now), Verdict::New);
        assert_eq!(lsdb.install(announcement(1, 2, &[2]), None, now), Verdict::Same);
        assert_eq!(lsdb.install(announcement(1, 1, &[3]), None, now), Verdict::Older);
        assert_eq!(lsdb.install(announcement(1, 3, &[2]), None, now), Verdict::Refreshed);
        assert_eq!(lsdb.install(announcement(1, 4, &[3]), None, now), Verdict::Changed);
        lsdb.check(Instance(100));
    }

    #[test]
    fn an_unreachable_node_expires_in_time_and_not_before() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut lsdb = Lsdb::default();
        lsdb.install(announcement(1, 1, &[100]), None, now);
        lsdb.install(announcement(2, 1, &[]), None, now);
        let changes = lsdb.update_reachability(&routes(&[1], &lsdb), now);
        assert_eq!(changes.appeared, [(Instance(1), now)]);
        assert_eq!(lsdb.expire(now - Duration::from_secs(1)), 0);
        assert_eq!(lsdb.expire(now), 1);
        assert!(lsdb.announcement(Instance(1)).is_some());
        lsdb.update_reachability(&routes(&[], &lsdb), later);
        assert_eq!(lsdb.unreachable_since(), Some(later));
        assert_eq!(lsdb.expire(later), 1);
        assert_eq!(lsdb.len(), 0);
    }

    #[test]
    fn a_copy_of_a_lost_node_revives_it_once() {
        let now = Instant::now();
        let mut lsdb = Lsdb::default();
        lsdb.install(announcement(1, 1, &[100]), None, now);
        lsdb.update_reachability(&routes(&[1], &lsdb), now);
        lsdb.update_reachability(&routes(&[], &lsdb), now);
        assert_eq!(lsdb.install(announcement(1, 1, &[100]), None, now), Verdict::Revived);
        assert_eq!(lsdb.install(announcement(1, 1, &[100]), None, now), Verdict::Same);
    }

    #[test]
    fn a_full_database_removes_unreachable_nodes_first() {
        let now = Instant::now();
        let mut lsdb = Lsdb { limit: Some(2), ..Lsdb::default() };
        lsdb.install(announcement(1, 1, &[100]), None, now);
        lsdb.install(announcement(2, 1, &[]), None, now);
        lsdb.update_reachability(&routes(&[1], &lsdb), now);
        assert_eq!(lsdb.install(announcement(3, 1, &[1]), None, now), Verdict::New);
        assert!(lsdb.announcement(Instance(2)).is_none());
        lsdb.install(announcement(1, 2, &[3, 100]), None, now);
        lsdb.update_reachability(&routes(&[1], &lsdb), now);
        assert_eq!(lsdb.install(announcement(4, 1, &[]), None, now), Verdict::NoRoom);
        lsdb.check(Instance(100));
    }

    #[test]
    fn only_links_that_both_ends_announce_are_followed() {
        let now = Instant::now();
        let mut lsdb = Lsdb::default();
        lsdb.install(announcement(1, 1, &[2, 3]), None, now);
        lsdb.install(announcement(2, 7, &[1]), None, now);
        lsdb.install(announcement(3, 1, &[4]), None, now);
        let found = lsdb.reachable_from([Instance(1), Instance(9)]);
        assert_eq!(found, [(Instance(1), Sequence(1)), (Instance(2), Sequence(7))]);
    }
}
