//! When the routes are computed, from what, and what the difference means to the application.
//!
//! The first change after a quiet time waits 5 ms for those that come with it; the more bursts
//! follow, the longer the next computation is held down, up to 100 ms. What concerns this node's
//! own links is not held down at all: no route may lead over a link that is gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::lsdb::Lsdb;
use crate::event::Event;
use crate::name::{Instance, LinkId, NodeName};
use crate::route::RouteTable;

/// How long a first change waits for others: a hop's latency.
const GATHER: Duration = Duration::from_millis(5);
/// The shortest time between two computations in a burst.
const HOLD_MIN: Duration = Duration::from_millis(10);
/// The longest: with 10,000 nodes, computing takes a twentieth of it.
const HOLD_MAX: Duration = Duration::from_millis(100);
/// A burst is over when nothing was computed for so long.
const QUIET: Duration = Duration::from_millis(500);

/// When the routes may be computed again.
#[derive(Debug)]
pub(super) struct SpfThrottle {
    hold: Duration,
    last: Option<Instant>,
}

impl Default for SpfThrottle {
    fn default() -> Self {
        Self { hold: HOLD_MIN, last: None }
    }
}

impl SpfThrottle {
    /// When a change is to be computed.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let held = self.last.map_or(now, |last| last + self.hold);
        held.max(now + GATHER)
    }

    /// The routes are being computed.
    pub(super) fn ran(&mut self, now: Instant) {
        self.hold = match self.last {
            Some(last) if now < last + QUIET => HOLD_MAX.min(self.hold * 2),
            Some(_) | None => HOLD_MIN,
        };
        self.last = Some(now);
    }
}

/// Computes the routes from the database and this node's own links.
pub(super) fn compute(
    name: &NodeName,
    me: Instance,
    lsdb: &Lsdb,
    links: &BTreeMap<Instance, LinkId>,
) -> RouteTable {
    RouteTable::compute(name, me, lsdb.records(), links)
}

/// What a new table means to the application: who joined, who left, then that there was a change.
pub(super) fn events(old: &RouteTable, new: &RouteTable) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut olds, mut news) = (holders(old).peekable(), holders(new).peekable());
    let left = |name: &NodeName| Event::NodeLeft(name.clone());
    let joined = |name: &NodeName| Event::NodeJoined(name.clone());
    loop {
        match (olds.peek().copied(), news.peek().copied()) {
            (None, None) => break,
            (Some((gone, _)), next) if next.is_none_or(|(come, _)| gone < come) => {
                events.push(left(gone));
                olds.next();
            }
            (before, Some((come, _))) if before.is_none_or(|(gone, _)| come < gone) => {
                events.push(joined(come));
                news.next();
            }
            (before, after) => {
                // The same name; another instance is another life of it.
                if let (Some((name, was)), Some((_, is))) = (before, after)
                    && was != is
                {
                    events.extend([left(name), joined(name)]);
                }
                olds.next();
                news.next();
            }
        }
    }
    events.push(Event::Topology);
    events
}

/// Each name once, with the instance that holds it.
fn holders(table: &RouteTable) -> impl Iterator<Item = (&NodeName, Instance)> {
    let mut last: Option<&NodeName> = None;
    table.others().filter(move |(name, _)| last.replace(*name) != Some(*name))
}

/// The names that more than one reachable node claims, sorted.
pub(super) fn conflicts(table: &RouteTable, me: &NodeName) -> Vec<NodeName> {
    let mut last: Option<&NodeName> = None;
    let mut names: Vec<NodeName> = table
        .others()
        .filter(|(name, _)| last.replace(*name) == Some(*name) || *name == me)
        .map(|(name, _)| name.clone())
        .collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{node, table};

    #[test]
    fn bursts_are_held_down_and_quiet_forgets_them() {
        let start = Instant::now();
        let mut pace = SpfThrottle::default();
        let mut now = start;
        let mut gaps = Vec::new();
        for _ in 0..6 {
            let due = pace.due(now);
            gaps.push((due - now).as_millis());
            now = due;
            pace.ran(now);
        }
        assert_eq!(gaps, [5, 10, 20, 40, 80, 100]);
        now += QUIET;
        assert_eq!(pace.due(now), now + GATHER);
    }

    #[test]
    fn a_new_table_tells_who_came_and_who_went() {
        let old = table("a", &[("a", "b"), ("b", "c")]);
        let new = table("a", &[("a", "b"), ("b", "d")]);
        let expected = [Event::NodeLeft(node("c")), Event::NodeJoined(node("d")), Event::Topology];
        assert_eq!(events(&old, &new), expected);
        assert!(conflicts(&new, &node("a")).is_empty());
    }

    /// `cargo test --release -p meshage -- --ignored --nocapture routes_of_ten`
    #[test]
    #[ignore = "a measurement, of release builds"]
    fn the_routes_of_ten_thousand_nodes_take_under_five_milliseconds() {
        use crate::name::Sequence;
        use crate::wire::control::Announcement;
        use rand::{RngExt as _, SeedableRng as _};

        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(1);
        let count = 10_000;
        let instances: Vec<Instance> = (0..count).map(|_| Instance(rng.random())).collect();
        let mut peers = vec![Vec::new(); count];
        for a in 1..count {
            for b in [a - 1, rng.random_range(0..a)] {
                peers[a].push(instances[b]);
                peers[b].push(instances[a]);
            }
        }
        let now = Instant::now();
        let mut lsdb = Lsdb::default();
        for (at, mut peers) in peers.clone().into_iter().enumerate().skip(1) {
            peers.sort_unstable();
            peers.dedup();
            let name = NodeName::new(&format!("node-{at}")).expect("valid");
            let (instance, sequence) = (instances[at], Sequence::FIRST);
            lsdb.install(Announcement { name, instance, sequence, peers }, now);
        }
        let me = NodeName::new("node-0").expect("valid");
        let links = peers[0].iter().zip(1..).map(|(&to, link)| (to, LinkId(link))).collect();
        let mut times = Vec::new();
        for _ in 0..20 {
            let before = Instant::now();
            let table = compute(&me, instances[0], &lsdb, &links);
            times.push(before.elapsed());
            assert_eq!(table.nodes(), count);
        }
        times.sort_unstable();
        println!("best {:?}, median {:?}, worst {:?}", times[0], times[10], times[19]);
    }
}
