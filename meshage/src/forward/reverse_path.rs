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
//!   for less           nothing is checked                   nothing is checked
//! ```
//!
//! While routes change, nodes follow different trees and acknowledgements may loop, and for a while
//! frames are still on their way over former routes. No frame of an honest node is dropped then.

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

/// What one snapshot of the routes knows of those before it.
#[derive(Debug, Default)]
pub(super) struct ReversePath {
    /// When the routes last changed; `None` if they never did.
    changed_at: Option<Instant>,
    /// The nodes that lay behind a link and do not any more, each with the time at which that ended.
    former: Arc<HashMap<(LinkId, Instance), Instant>>,
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
            return Self { changed_at: self.changed_at, former: self.former.clone() };
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
        Self { changed_at: Some(now), former: Arc::new(former) }
    }

    /// Whether a message of `source` may arrive over this link.
    pub(super) fn permits_message(
        &self,
        routes: &RouteTable,
        link: LinkId,
        source: Instance,
        now: Instant,
    ) -> bool {
        match self.stage(now) {
            // Other nodes may know of links that this node does not know of yet, and the reverse.
            Stage::Changing => true,
            Stage::Recent => {
                !routes.contains(source) || self.lies_or_lay_behind(routes, link, source, now)
            }
            Stage::Settled => routes.begins_shortest_path(link, source),
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
        match self.stage(now) {
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
        self.stage(now) == Stage::Changing || self.lies_or_lay_behind(routes, link, recipient, now)
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

    fn stage(&self, now: Instant) -> Stage {
        match self.changed_at.map(|at| now.saturating_duration_since(at)) {
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
