//! When the routes are computed, and which events a new route table causes.
//!
//! The first change after a quiet period waits 5 ms for changes that arrive together with it. Each
//! further computation in a burst lengthens the hold-down, up to 100 ms. Changes of this node's own
//! links are not held down: no route may lead over a link that is gone. A message that follows
//! announcements on a link does not wait for the hold-down: it brings the computation forward.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::lsdb::Lsdb;
use crate::event::{Departure, Event};
use crate::name::{Instance, LinkId, NodeName};
use crate::route::RouteTable;

/// How long the first change waits for further changes: a hop's latency.
const INITIAL_DELAY: Duration = Duration::from_millis(5);
/// The shortest time between two computations in a burst.
const HOLD_MIN: Duration = Duration::from_millis(10);
/// The longest. With 10,000 nodes, a computation takes a twentieth of it.
const HOLD_MAX: Duration = Duration::from_millis(100);
/// The shortest time between two computations that messages wait for: a flood of announcements
/// cannot cost a computation for each message.
const SETTLING_GAP: Duration = Duration::from_millis(5);
/// The same for each node in the database: four times what the computation takes.
const SETTLING_GAP_PER_NODE: Duration = Duration::from_micros(2);
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

    /// When to compute the routes if a message waits for it, with so many nodes in the database.
    pub(super) fn next_settling_run(&self, now: Instant, nodes: usize) -> Instant {
        let gap =
            SETTLING_GAP.max(SETTLING_GAP_PER_NODE * u32::try_from(nodes).unwrap_or(u32::MAX));
        self.last.map_or(now, |last| now.max(last + gap))
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
/// `departure` returns how a node departed.
pub(super) fn events(
    old: &RouteTable,
    new: &RouteTable,
    departure: impl Fn(Instance) -> Departure,
) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut olds, mut news) = (old.holders().peekable(), new.holders().peekable());
    let left = |node: &NodeName, instance| Event::NodeLeft {
        node: node.clone(),
        instance,
        departure: departure(instance),
    };
    let joined = |node: &NodeName, instance| Event::NodeJoined { node: node.clone(), instance };
    loop {
        match (olds.peek().copied(), news.peek().copied()) {
            (None, None) => break,
            (Some((gone, instance)), next) if next.is_none_or(|(came, _)| gone < came) => {
                if !planted!(NodeLeftUntold) {
                    events.push(left(gone, instance));
                }
                olds.next();
            }
            (before, Some((came, instance))) if before.is_none_or(|(gone, _)| came < gone) => {
                events.push(joined(came, instance));
                news.next();
            }
            (before, after) => {
                // The same name. A different instance is another incarnation of the node.
                if let (Some((name, was)), Some((_, is))) = (before, after)
                    && was != is
                {
                    events.extend([left(name, was), joined(name, is)]);
                }
                olds.next();
                news.next();
            }
        }
    }
    events.push(Event::Topology);
    events
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
    use crate::route::tests::{instance, node, table};

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
        let left = |gone| if gone == instance("c") { Departure::Left } else { Departure::Failed };
        let expected = [
            Event::NodeLeft {
                node: node("c"),
                instance: instance("c"),
                departure: Departure::Left,
            },
            Event::NodeJoined { node: node("d"), instance: instance("d") },
            Event::Topology,
        ];
        assert_eq!(events(&old, &new, left), expected);
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
            lsdb.install(
                Announcement {
                    name,
                    instance,
                    sequence,
                    claim: crate::name::Claim::FIRST,
                    leaving: false,
                    peers,
                },
                None,
                now,
            );
        }
        let me = NodeName::new("node-0").expect("valid");
        let links = peers[0].iter().zip(1..).map(|(&to, link)| (to, LinkId(link))).collect();
        let (mut times, mut tree_times) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let before = Instant::now();
            let table = compute(&me, instances[0], &lsdb, &links);
            times.push(before.elapsed());
            assert_eq!(table.nodes(), count);
            let before = Instant::now();
            table.floods_over(LinkId(1), instances[count - 1]);
            tree_times.push(before.elapsed());
        }
        for (what, mut times) in [("routes", times), ("flooding trees", tree_times)] {
            times.sort_unstable();
            println!("{what}: best {:?}, median {:?}, worst {:?}", times[0], times[10], times[19]);
        }
    }
}
