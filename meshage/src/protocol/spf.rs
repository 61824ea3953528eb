//! When the routes are computed, and which events a new route table causes.
//!
//! The first change after a quiet period waits 5 ms for changes that arrive together with it. Each
//! further computation in a burst lengthens the hold-down, up to 100 ms. Changes of this node's own
//! links are not held down: no route may lead over a link that is gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::lsdb::Lsdb;
use crate::event::Event;
use crate::name::{Instance, LinkId, NodeName};
use crate::route::RouteTable;

/// How long the first change waits for further changes: a hop's latency.
const INITIAL_DELAY: Duration = Duration::from_millis(5);
/// The shortest time between two computations in a burst.
const HOLD_MIN: Duration = Duration::from_millis(10);
/// The longest. With 10,000 nodes, a computation takes a twentieth of it.
const HOLD_MAX: Duration = Duration::from_millis(100);
/// A burst is over when no routes were computed for this long.
const QUIET_PERIOD: Duration = Duration::from_millis(500);

/// Limits how often the routes are computed.
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
    /// When to compute the routes after a change.
    pub(super) fn next_run(&self, now: Instant) -> Instant {
        let held = self.last.map_or(now, |last| last + self.hold);
        held.max(now + INITIAL_DELAY)
    }

    /// Records a computation, and adjusts the hold-down.
    pub(super) fn record_run(&mut self, now: Instant) {
        self.hold = match self.last {
            Some(last) if now < last + QUIET_PERIOD => HOLD_MAX.min(self.hold * 2),
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

/// The events that a new table causes: nodes that joined or left, then the change of topology.
pub(super) fn events(old: &RouteTable, new: &RouteTable) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut olds, mut news) = (name_holders(old).peekable(), name_holders(new).peekable());
    let left = |name: &NodeName| Event::NodeLeft(name.clone());
    let joined = |name: &NodeName| Event::NodeJoined(name.clone());
    loop {
        match (olds.peek().copied(), news.peek().copied()) {
            (None, None) => break,
            (Some((gone, _)), next) if next.is_none_or(|(came, _)| gone < came) => {
                events.push(left(gone));
                olds.next();
            }
            (before, Some((came, _))) if before.is_none_or(|(gone, _)| came < gone) => {
                events.push(joined(came));
                news.next();
            }
            (before, after) => {
                // The same name. A different instance is another incarnation of the node.
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

/// Each name once, with the instance that has it.
fn name_holders(table: &RouteTable) -> impl Iterator<Item = (&NodeName, Instance)> {
    let mut last: Option<&NodeName> = None;
    table.others().filter(move |(name, _)| last.replace(*name) != Some(*name))
}

/// The names that more than one reachable node has, sorted.
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
    fn a_burst_is_held_down_until_a_quiet_period() {
        let start = Instant::now();
        let mut throttle = SpfThrottle::default();
        let mut now = start;
        let mut gaps = Vec::new();
        for _ in 0..6 {
            let next = throttle.next_run(now);
            gaps.push((next - now).as_millis());
            now = next;
            throttle.record_run(now);
        }
        assert_eq!(gaps, [5, 10, 20, 40, 80, 100]);
        now += QUIET_PERIOD;
        assert_eq!(throttle.next_run(now), now + INITIAL_DELAY);
    }

    #[test]
    fn a_new_table_causes_events_for_nodes_that_joined_or_left() {
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
