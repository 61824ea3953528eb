//! How two nodes find out cheaply in which announcements their databases differ.
//!
//! ```text
//!    a                                          b
//!    │ Compare: one range, its digest ─────────►│  the same digest: nothing differs
//!    │◄─ Compare: 16 parts of it, their digests │  another one: it is split
//!    │ … of each part that differs ────────────►│
//!    │◄─ Listing: the few announcements of a    │  few are left: they are listed
//!    │   part, each with its digest             │
//!    │ Announce: what b lacks ─────────────────►│
//!    │ Request: what a lacks ──────────────────►│  answered by Announce
//! ```
//!
//! A range is a range of instances. Its digest is the sum of the digests of the announcements in it.
//! Neither side keeps any state between two frames: what is lost or limited is found again in the
//! next period.

use crate::name::{Age, Instance, Sequence};
use crate::wire::control::{Announcement, Listed, Range};

/// How many announcements of a range are listed rather than split.
pub(super) const LISTED_MAX: usize = 32;
/// Into how many parts a range is split.
const PARTS: usize = 16;
/// Into how many parts the database is split at the start of an exchange.
pub(super) const EXCHANGE_PARTS: usize = 32;

/// What the digests cover of one announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) instance: Instance,
    pub(super) sequence: Sequence,
    pub(super) digest: u64,
}

impl Item {
    pub(super) fn listed(&self) -> Listed {
        Listed { instance: self.instance, sequence: self.sequence, check: self.digest as u32 }
    }
}

/// The digest of an announcement: of everything in it but the name, which never changes.
pub(super) fn digest(announcement: &Announcement) -> u64 {
    let Announcement { instance, sequence, claim, leaving, peers, .. } = announcement;
    let own = [instance.0, sequence.0.into(), claim.0.into(), u64::from(*leaving)];
    if planted!(DigestWithoutContent) {
        return mix(instance.0);
    }
    own.into_iter()
        .chain(peers.iter().map(|peer| peer.0))
        .fold(0, |state, value| mix(state ^ value))
}

/// A bijection of which every bit of the result depends on every bit of the value.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The digest of a range.
pub(super) fn sum(items: &[Item]) -> u64 {
    items.iter().fold(0, |sum, item| sum.wrapping_add(item.digest))
}

/// The items of a range; `items` are sorted by instance.
pub(super) fn within(items: &[Item], first: Instance, last: Instance) -> &[Item] {
    let start = items.partition_point(|item| item.instance < first);
    let end = items.partition_point(|item| item.instance <= last);
    &items[start..end.max(start)]
}

/// Splits a range into parts with about as many items each. Together they cover the whole range.
pub(super) fn split(items: &[Item], first: Instance, last: Instance, parts: usize) -> Vec<Range> {
    let items = within(items, first, last);
    let chunks: Vec<&[Item]> = items.chunks(items.len().div_ceil(parts).max(1)).collect();
    let mut ranges = Vec::with_capacity(chunks.len().max(1));
    let mut from = first;
    for (at, chunk) in chunks.iter().enumerate() {
        let to = match chunks.get(at + 1).and_then(|next| next.first()) {
            Some(next) => Instance(next.instance.0 - 1),
            None => last,
        };
        ranges.push(Range { first: from, last: to, digest: sum(chunk) });
        from = Instance(to.0.saturating_add(1));
    }
    if ranges.is_empty() {
        ranges.push(Range { first, last, digest: 0 });
    }
    ranges
}

/// What a node does about a range of which its peer has sent the digest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has the same announcements there.
    Equal,
    /// It compares parts of it.
    Compare(Vec<Range>),
    /// It lists its announcements there.
    List(Vec<Listed>),
}

/// Compares a range of the peer with this node's items.
pub(super) fn answer(items: &[Item], range: &Range) -> Answer {
    let own = within(items, range.first, range.last);
    if sum(own) == range.digest {
        Answer::Equal
    } else if own.len() <= LISTED_MAX {
        Answer::List(own.iter().map(Item::listed).collect())
    } else {
        Answer::Compare(split(own, range.first, range.last, PARTS))
    }
}

/// What follows from a list of the peer's announcements in a range.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// The peer lacks these, or has older ones.
    pub(super) to_send: Vec<Instance>,
    /// This node lacks these, or has older ones.
    pub(super) to_request: Vec<Instance>,
}

/// Compares a list of the peer with this node's items. Two announcements with one sequence number, of
/// which one is false, are both sent and requested.
pub(super) fn difference(
    items: &[Item],
    (first, last): (Instance, Instance),
    listed: &[Listed],
) -> Difference {
    let own = within(items, first, last);
    let mut difference = Difference::default();
    let find = |instance| listed.binary_search_by_key(&instance, |listed| listed.instance).ok();
    for item in own {
        match find(item.instance).map(|at| listed[at]) {
            Some(theirs) if theirs == item.listed() => {}
            Some(theirs) => {
                let age = theirs.sequence.age(item.sequence);
                if age != Age::Newer {
                    difference.to_send.push(item.instance);
                }
                if age != Age::Older {
                    difference.to_request.push(item.instance);
                }
            }
            None => difference.to_send.push(item.instance),
        }
    }
    let is_lacking = |listed: &&Listed| {
        own.binary_search_by_key(&listed.instance, |item| item.instance).is_err()
    };
    difference.to_request.extend(listed.iter().filter(is_lacking).map(|listed| listed.instance));
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: (Instance, Instance) = (Instance(0), Instance(u64::MAX));

    fn items(of: &[(u64, u32)]) -> Vec<Item> {
        let item = |&(instance, sequence): &(u64, u32)| Item {
            instance: Instance(instance),
            sequence: Sequence(sequence),
            digest: mix(instance ^ mix(sequence.into())),
        };
        of.iter().map(item).collect()
    }

    fn range(items: &[Item]) -> Range {
        Range { first: ALL.0, last: ALL.1, digest: sum(items) }
    }

    #[test]
    fn parts_cover_a_range_without_gaps_and_their_digests_add_up() {
        for count in [0, 1, 15, 16, 17, 1000] {
            let items = items(&(0..count).map(|at| (at * 1_000_003, 1)).collect::<Vec<_>>());
            for (first, last) in [ALL, (Instance(5), Instance(900 * 1_000_003))] {
                let parts = split(&items, first, last, PARTS);
                assert!(parts.len() <= PARTS, "{count}");
                assert_eq!((parts[0].first, parts[parts.len() - 1].last), (first, last));
                assert!(parts.windows(2).all(|two| two[0].last.0 + 1 == two[1].first.0));
                let digests = parts.iter().fold(0_u64, |sum, part| sum.wrapping_add(part.digest));
                assert_eq!(digests, sum(within(&items, first, last)));
                assert!(parts.iter().all(|part| answer(&items, part) == Answer::Equal));
            }
        }
    }

    #[test]
    fn one_difference_among_ten_thousand_is_found_in_few_frames() {
        let all: Vec<(u64, u32)> = (0..10_000).map(|at| (mix(at), 1)).collect();
        let mut all = all;
        all.sort_unstable();
        let ours = items(&all);
        let mut theirs = ours.clone();
        theirs.remove(4321);
        let (mut mine, mut frames, mut ranges) = (true, 1, vec![range(&theirs)]);
        let found = loop {
            let side = if mine { &ours } else { &theirs };
            let mut next = Vec::new();
            let mut lists = Vec::new();
            for range in &ranges {
                match answer(side, range) {
                    Answer::Equal => {}
                    Answer::Compare(parts) => next.extend(parts),
                    Answer::List(list) => lists.push(((range.first, range.last), list)),
                }
            }
            frames += 1;
            if let [(bounds, list)] = &lists[..] {
                let other = if mine { &theirs } else { &ours };
                break difference(other, *bounds, list);
            }
            assert!(next.len() <= PARTS);
            (ranges, mine) = (next, !mine);
        };
        let lacking = vec![ours[4321].instance];
        assert!(found.to_send == lacking || found.to_request == lacking, "{found:?}");
        assert!(frames <= 5, "{frames}");
    }

    #[test]
    fn a_list_shows_what_each_side_lacks() {
        let ours = items(&[(1, 1), (2, 3), (3, 3), (4, 5)]);
        let mut theirs: Vec<Listed> =
            items(&[(2, 3), (3, 4), (4, 4), (5, 1)]).iter().map(Item::listed).collect();
        let instances = |of: &[u64]| of.iter().copied().map(Instance).collect::<Vec<_>>();
        let found = difference(&ours, ALL, &theirs);
        assert_eq!(found.to_send, instances(&[1, 4]));
        assert_eq!(found.to_request, instances(&[3, 5]));
        theirs[0].check ^= 1;
        let found = difference(&ours, (Instance(2), Instance(2)), &theirs[..1]);
        assert_eq!((found.to_send, found.to_request), (instances(&[2]), instances(&[2])));
    }

    #[test]
    fn the_digest_of_an_announcement_depends_on_all_that_may_change() {
        let original = Announcement {
            name: crate::name::NodeName::new("a").expect("valid"),
            instance: Instance(7),
            sequence: Sequence(1),
            claim: crate::name::Claim::FIRST,
            leaving: false,
            peers: vec![Instance(1), Instance(2)],
        };
        let mut others = vec![original.clone(); 6];
        others[1].instance = Instance(8);
        others[2].sequence = Sequence(2);
        others[3].claim = crate::name::Claim(2);
        others[4].leaving = true;
        others[5].peers.pop();
        let mut digests: Vec<u64> = others.iter().map(digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 6);
        assert_eq!(digest(&original), digest(&others[0]));
    }
}
