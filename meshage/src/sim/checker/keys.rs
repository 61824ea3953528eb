//! Checks what closed meshes promise: nothing crosses between meshes of different keys, no link
//! stays under a removed key, and nothing readable travels.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::name::NodeName;
use crate::secure::rotation::REMOVED_KEY_LASTS;
use crate::sim::connection::State;
use crate::sim::network::HostId;
use crate::sim::simulation::Sim;

/// One in this many sealed writes is searched.
const SEARCH_ONE_IN: u64 = 8;
/// What is searched for: any this many bytes in succession of what is sealed. No other bytes are
/// equal to them by chance.
const SEARCHED_BYTES: usize = 12;
/// How many places of a write are searched for.
const SEARCHED_MAX: usize = 8;

impl Sim {
    /// Computes which hosts can ever be in one mesh: those with a key in common, and the open ones.
    pub(in crate::sim) fn label_meshes(&mut self) {
        if self.hosts.iter().all(|host| host.ring.is_none()) {
            return;
        }
        let keys: Vec<_> = self.hosts.iter().map(|host| host.keys_ever.clone()).collect();
        for (host, mesh) in self.hosts.iter_mut().zip(components(&keys)) {
            host.mesh = mesh;
        }
    }

    /// The parts of the running hosts that can be meshes now: those of one side of a partition whose
    /// keys connect them.
    pub(in crate::sim) fn parts(&self) -> Vec<Vec<HostId>> {
        let running: Vec<HostId> =
            self.hosts().filter(|&host_id| self.is_running(host_id)).collect();
        let mut parts: BTreeMap<u32, Vec<HostId>> = Default::default();
        for host_id in running {
            parts.entry(self.network.group(host_id)).or_default().push(host_id);
        }
        if self.hosts.iter().all(|host| host.ring.is_none()) {
            return parts.into_values().collect();
        }
        let mut all = Vec::new();
        for part in parts.into_values() {
            let keys: Vec<BTreeSet<_>> =
                part.iter().map(|host_id| self.key_ids(*host_id).into_iter().collect()).collect();
            let mut meshes: BTreeMap<usize, Vec<HostId>> = Default::default();
            for (host_id, mesh) in part.into_iter().zip(components(&keys)) {
                meshes.entry(mesh).or_default().push(host_id);
            }
            all.extend(meshes.into_values());
        }
        all
    }

    /// Whether two hosts have a key in common now, or both are open.
    pub(in crate::sim) fn are_of_one_mesh(&self, a: HostId, b: HostId) -> bool {
        match (&self.hosts[a.0].ring, &self.hosts[b.0].ring) {
            (None, None) => true,
            (Some(a), Some(b)) => a.keys().iter().any(|key| b.get(key.id()).is_some()),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Checks that a message comes from a mesh that its recipient can be a part of.
    pub(in crate::sim) fn check_mesh(&self, host_id: HostId, source: &NodeName) {
        let mesh = self.hosts[host_id.0].mesh;
        let known = self.hosts.iter().any(|host| host.spec.name == *source && host.mesh == mesh);
        assert!(
            known,
            "invariant S18: {} received a message of {source}, which is of another mesh",
            self.hosts[host_id.0].spec.name
        );
    }

    /// Checks that no link of a node has been under a key for too long that the node has no longer.
    pub(in crate::sim) fn check_keys(&self, host_id: HostId) {
        let host = &self.hosts[host_id.0];
        let (Some(ring), Some(incarnation)) = (&host.ring, &host.incarnation) else {
            return;
        };
        let changed_at = host.keys_changed_at.max(host.continued_at);
        if self.now <= changed_at + REMOVED_KEY_LASTS {
            return;
        }
        for (link, sim_link) in &incarnation.links {
            let end = self.connections[sim_link.connection.0].end(sim_link.side);
            let (State::Link { .. }, Some(sealed)) = (&end.state, &end.sealed) else {
                continue;
            };
            // A handshake that began before the change goes on under the keys from before.
            let since = changed_at.max(sealed.made_at);
            for id in [sealed.sealer.key_id(), sealed.opener.key_id()] {
                assert!(
                    ring.get(id).is_some() || self.now <= since + REMOVED_KEY_LASTS,
                    "invariant S19: {} has {link} under the key {id}, removed {:?} ago",
                    host.spec.name,
                    self.now - since
                );
            }
        }
    }

    /// Checks that no link in the whole simulation is under a key other than these.
    ///
    /// # Panics
    /// If one is.
    pub fn check_links_are_under(&self, keys: &[crate::secure::KeyId]) {
        for host_id in self.hosts().filter(|&host_id| self.is_running(host_id)) {
            let Some(incarnation) = self.incarnation(host_id) else { continue };
            for sim_link in incarnation.links.values() {
                let end = self.connections[sim_link.connection.0].end(sim_link.side);
                let Some(sealed) = &end.sealed else { continue };
                for id in [sealed.sealer.key_id(), sealed.opener.key_id()] {
                    assert!(
                        keys.contains(&id),
                        "invariant S19: {} has a link under the key {id}",
                        self.hosts[host_id.0].spec.name
                    );
                }
            }
        }
    }

    /// Checks, for a sample, that what was sealed cannot be read in what travels.
    pub(in crate::sim) fn check_hidden(&mut self, plain: &[Bytes], sealed: &[u8]) {
        self.sealed_writes += 1;
        if !self.sealed_writes.is_multiple_of(SEARCH_ONE_IN) {
            return;
        }
        self.counters.searched += 1;
        for bytes in
            plain.iter().flat_map(|buffer| buffer.chunks_exact(SEARCHED_BYTES)).take(SEARCHED_MAX)
        {
            let found = sealed.windows(SEARCHED_BYTES).any(|part| part == bytes);
            assert!(!found, "invariant S20: {bytes:02x?} can be read on the wire");
        }
    }
}

/// The number of the component of each set: sets with a common element are in one, and so are empty
/// sets.
fn components<T: Ord>(sets: &[BTreeSet<T>]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..sets.len()).collect();
    for (index, set) in sets.iter().enumerate() {
        for earlier in 0..index {
            let other = &sets[earlier];
            let connected = (set.is_empty() && other.is_empty()) || !set.is_disjoint(other);
            let (from, to) = (numbers[index], numbers[earlier]);
            if connected && from != to {
                numbers
                    .iter_mut()
                    .filter(|number| **number == from)
                    .for_each(|number| *number = to);
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::secure::KeyRing;
    use crate::sim::NodeSpec;
    use crate::sim::chaos::closed_key;

    #[test]
    fn sets_that_are_connected_by_others_are_one_component() {
        let sets = [vec![1], vec![2], vec![], vec![3], vec![1, 2], vec![]];
        let sets: Vec<BTreeSet<u8>> =
            sets.into_iter().map(|set| set.into_iter().collect()).collect();
        let numbers = components(&sets);
        assert!(numbers[0] == numbers[1] && numbers[1] == numbers[4]);
        assert_eq!(numbers[2], numbers[5]);
        assert!(numbers[0] != numbers[2] && numbers[2] != numbers[3] && numbers[0] != numbers[3]);
    }

    /// Two linked nodes with one key.
    fn linked() -> Sim {
        let mut sim = Sim::new(1, false);
        for name in ["a", "b"] {
            sim.add(NodeSpec { keys: vec![closed_key(0)], ..NodeSpec::new(name, 1) });
        }
        sim.settle_down();
        sim
    }

    #[test]
    #[should_panic(expected = "invariant S18")]
    fn a_message_from_another_mesh_is_detected() {
        let mut sim = linked();
        sim.add(NodeSpec { keys: vec![closed_key(1)], ..NodeSpec::new("c", 1) });
        let (near, far) = (sim.hosts[1].spec.name.clone(), sim.hosts[2].spec.name.clone());
        sim.check_mesh(HostId(0), &near);
        sim.check_mesh(HostId(0), &far);
    }

    #[test]
    #[should_panic(expected = "invariant S19")]
    fn a_link_that_stays_under_a_removed_key_is_detected() {
        let mut sim = linked();
        // The links are not told.
        sim.hosts[0].ring = KeyRing::new([closed_key(1)]).ok();
        sim.now += REMOVED_KEY_LASTS + Duration::from_secs(1);
        sim.check_keys(HostId(0));
    }

    #[test]
    #[should_panic(expected = "invariant S20")]
    fn readable_bytes_are_detected() {
        let mut sim = Sim::new(1, false);
        let plain = Bytes::from_static(b"a name or a body");
        for _ in 0..SEARCH_ONE_IN {
            sim.check_hidden(std::slice::from_ref(&plain), b"xxx a name or a body xxx");
        }
    }
}
