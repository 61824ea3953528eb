//! The reverse path check: whether the node that a frame names can lie behind the link that the frame
//! arrived on. No node speaks for another that is not behind it.
//!
//! ```text
//!   routes unchanged   messages                             acknowledgements
//!   for 30 s           the link begins a shortest path      the same
//!                      to the node
//!   for 1 s            the node can be reached over the     nothing is checked
//!                      link without passing this node, or
//!                      could be within the last 30 s, or
//!                      cannot be reached at all
//!   for less           the same                             nothing is checked
//! ```
//!
//! Routes also count as changing while announcements wait to be installed. While routes change, nodes
//! follow different trees and acknowledgements may loop, and for a while frames are still on their way
//! over former routes. No frame of an honest node is dropped then. What arrives over an unexpected link
//! while routes change, or over a link that is not 30 s old, is **doubtful**: honest nodes may know of
//! links that this node does not know of, and a peer may still have frames that arrived before it was
//! linked. A doubtful message to named recipients is refused as Busy, so that its source sends it
//! again, over routes that are known by then. So a node that comes and goes gains nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use smallvec::SmallVec;

use super::delivery::channel_flow::ROUTES_STABLE_AFTER;
use super::outbound::Outbound;
use crate::name::{Instance, LinkId};
use crate::route::RouteTable;

/// How long a frame may be on its way over a former path: three times the default timeout of a
/// send.
pub const ROUTES_SETTLED_AFTER: Duration = Duration::from_secs(30);

/// How many nodes that lately lay behind a link are remembered: as many as the database holds. Of
/// further ones, frames that are still on their way are dropped.
pub const FORMER_MAX: usize = 131_072;

/// What is known of the routes of other nodes and of frames on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Other nodes may follow other routes than this one.
    Changing,
    /// All nodes follow the same routes, but frames may still be on their way over former ones.
    Recent,
    /// No such frame is expected any more.
    Settled,
}

/// Whether a message may come from the source that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plausibility {
    /// The source may lie behind the link.
    Plausible,
    /// Only if other nodes follow other routes.
    Doubtful,
    /// It is forged.
    Impossible,
}

/// What one snapshot of the routes knows of those before it.
#[derive(Debug, Default, Clone)]
pub(super) struct ReversePath {
    /// When the routes last changed; `None` if they never did.
    changed_at: Option<Instant>,
    /// The nodes that lay behind a link and do not any more, each with the time at which that ended.
    former: Arc<HashMap<(LinkId, Instance), Instant>>,
    /// The links that existed when the routes last changed, each with the time of its first routes.
    links_since: Arc<HashMap<LinkId, Instant>>,
}

impl ReversePath {
    /// That of the routes `new`, which replace `old`.
    pub(super) fn next(
        &self,
        old: &Arc<RouteTable>,
        new: &Arc<RouteTable>,
        links: &BTreeMap<LinkId, Arc<Outbound>>,
        now: Instant,
    ) -> Self {
        if Arc::ptr_eq(old, new) {
            return self.clone();
        }
        let mut former = HashMap::new();
        for (&(link, instance), &until) in &*self.former {
            if is_recent(until, now) && links.contains_key(&link) {
                former.insert((link, instance), until);
            }
        }
        for (link, instance) in lost(old, new, links) {
            if former.len() >= FORMER_MAX {
                break;
            }
            former.insert((link, instance), now);
        }
        let since = |link| *self.links_since.get(link).unwrap_or(&now);
        let links_since = Arc::new(links.keys().map(|link| (*link, since(link))).collect());
        Self { changed_at: Some(now), former: Arc::new(former), links_since }
    }

    /// Whether a message of `source` may arrive over this link.
    pub(super) fn message(
        &self,
        routes: &RouteTable,
        link: LinkId,
        source: Instance,
        now: Instant,
    ) -> Plausibility {
        let stage = self.stage(routes, now);
        let plausible = match stage {
            Stage::Changing | Stage::Recent => {
                !routes.contains(source) || self.lies_or_lay_behind(routes, link, source, now)
            }
            Stage::Settled => routes.begins_shortest_path(link, source),
        };
        match stage {
            _ if plausible || planted!(ReversePathUnchecked) => Plausibility::Plausible,
            // Other nodes may know of links that this node does not know of yet, and the reverse.
            Stage::Changing => Plausibility::Doubtful,
            // The peer may still have frames that arrived before the link existed.
            Stage::Recent if self.is_new(link, now) => Plausibility::Doubtful,
            Stage::Recent | Stage::Settled => Plausibility::Impossible,
        }
    }

    /// Whether an acknowledgement of `recipient` may arrive over this link.
    pub(super) fn permits_acknowledgement(
        &self,
        routes: &RouteTable,
        link: LinkId,
        recipient: Instance,
        now: Instant,
    ) -> bool {
        match self.stage(routes, now) {
            // It may be in a loop, from which it still finds a way out, or wait behind a fault.
            Stage::Changing | Stage::Recent => true,
            Stage::Settled => routes.begins_shortest_path(link, recipient),
        }
    }

    /// Whether a refusal of a relay on the way to `recipient`, which can be reached, may arrive over
    /// this link.
    pub(super) fn permits_refusal(
        &self,
        routes: &RouteTable,
        link: LinkId,
        recipient: Instance,
        now: Instant,
    ) -> bool {
        self.stage(routes, now) == Stage::Changing
            || self.lies_or_lay_behind(routes, link, recipient, now)
            || self.is_new(link, now)
    }

    fn is_new(&self, link: LinkId, now: Instant) -> bool {
        self.links_since.get(&link).is_none_or(|since| is_recent(*since, now))
    }

    fn lies_or_lay_behind(
        &self,
        routes: &RouteTable,
        link: LinkId,
        instance: Instance,
        now: Instant,
    ) -> bool {
        let lay_behind =
            || self.former.get(&(link, instance)).is_some_and(|at| is_recent(*at, now));
        routes.lies_behind(link, instance) || lay_behind()
    }

    fn stage(&self, routes: &RouteTable, now: Instant) -> Stage {
        if routes.is_incomplete() {
            return Stage::Changing;
        }
        match self.changed_at.map(|at| now.saturating_duration_since(at)) {
            Some(_) if planted!(FormerPathsForgotten) => Stage::Settled,
            Some(since) if since < ROUTES_STABLE_AFTER => Stage::Changing,
            Some(since) if since < ROUTES_SETTLED_AFTER => Stage::Recent,
            Some(_) | None => Stage::Settled,
        }
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < ROUTES_SETTLED_AFTER
}

/// The nodes that lie behind a link according to `old`, but not according to `new`. Links that do not
/// exist any more carry no frames.
fn lost(
    old: &RouteTable,
    new: &RouteTable,
    links: &BTreeMap<LinkId, Arc<Outbound>>,
) -> Vec<(LinkId, Instance)> {
    let mut lost = Vec::new();
    // The parts of the mesh before and after; there are few pairs of them.
    let mut by_parts: HashMap<(u32, Option<u32>), SmallVec<[LinkId; 4]>> = HashMap::new();
    for (instance, before) in old.parts() {
        let after = new.part_of(instance);
        let links = by_parts.entry((before, after)).or_insert_with(|| {
            let is_lost = |link: &LinkId| {
                links.contains_key(link) && (after.is_none() || new.part_behind(*link) != after)
            };
            old.links_to_part(before).filter(is_lost).collect()
        });
        lost.extend(links.iter().map(|&link| (link, instance)));
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{instance, table};

    /// b–d and c–e hang on a; f joins later.
    const BEFORE: &[(&str, &str)] = &[("a", "b"), ("a", "c"), ("b", "d"), ("c", "e")];
    const B: LinkId = LinkId(2);
    const C: LinkId = LinkId(3);

    struct Snapshot {
        routes: Arc<RouteTable>,
        reverse_path: ReversePath,
        now: Instant,
    }

    impl Snapshot {
        /// The routes of `a`, settled for `age`.
        fn aged(age: Duration) -> Self {
            let alone = Arc::new(table("a", &[]));
            let empty =
                Self { routes: alone, reverse_path: ReversePath::default(), now: Instant::now() };
            let mut snapshot = empty.then(table("a", BEFORE), &[B, C]);
            snapshot.now += age;
            snapshot
        }

        fn then(&self, routes: RouteTable, links: &[LinkId]) -> Self {
            let links = links.iter().map(|link| (*link, Arc::default())).collect();
            let routes = Arc::new(routes);
            let reverse_path = self.reverse_path.next(&self.routes, &routes, &links, self.now);
            Self { routes, reverse_path, now: self.now }
        }

        fn message(&self, link: LinkId, source: &str) -> Plausibility {
            self.reverse_path.message(&self.routes, link, instance(source), self.now)
        }

        fn permits(&self, link: LinkId, source: &str) -> bool {
            self.message(link, source) == Plausibility::Plausible
        }
    }

    #[test]
    fn a_message_must_come_over_a_link_to_its_source_once_routes_have_settled() {
        let settled = Snapshot::aged(ROUTES_SETTLED_AFTER);
        assert!(settled.permits(B, "d") && settled.permits(C, "e"));
        assert!(!settled.permits(C, "d") && !settled.permits(B, "unknown"));
        let changing = Snapshot::aged(Duration::ZERO);
        assert_eq!(changing.message(C, "d"), Plausibility::Doubtful, "they have just changed");
        assert!(changing.permits(B, "d") && changing.permits(C, "unknown"));
    }

    #[test]
    fn a_node_may_lie_where_it_lay_within_the_last_30_s() {
        let mut changed = Snapshot::aged(ROUTES_SETTLED_AFTER)
            .then(table("a", &[("a", "b"), ("a", "c"), ("c", "d")]), &[B, C]);
        changed.now += ROUTES_STABLE_AFTER;
        assert!(changed.permits(B, "d") && changed.permits(C, "d"), "it moved");
        assert!(!changed.permits(C, "b"), "it never lay there");
        changed.now += ROUTES_SETTLED_AFTER;
        assert!(!changed.permits(B, "d"));
    }

    #[test]
    fn frames_that_a_peer_may_have_had_before_it_was_linked_are_doubtful() {
        let young = Snapshot::aged(ROUTES_STABLE_AFTER);
        assert_eq!(young.message(C, "d"), Plausibility::Doubtful);
        let mut edges = BEFORE.to_vec();
        edges.push(("d", "f"));
        let mut old = Snapshot::aged(ROUTES_SETTLED_AFTER).then(table("a", &edges), &[B, C]);
        old.now += ROUTES_STABLE_AFTER;
        assert_eq!(old.message(C, "d"), Plausibility::Impossible);
    }

    #[test]
    fn frames_over_other_links_are_doubtful_while_announcements_wait() {
        let settled = Snapshot::aged(ROUTES_SETTLED_AFTER);
        let mut waiting = settled.then(table("a", BEFORE).incomplete(true), &[B, C]);
        waiting.now += ROUTES_SETTLED_AFTER;
        assert_eq!(waiting.message(C, "d"), Plausibility::Doubtful);
    }
}
