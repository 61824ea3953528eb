//! How a running link moves to other keys.
//!
//! ```text
//!  the own ring, the ring of the peer,   ──► Rotation ──► announce the own ring
//!  the keys of both directions, the time                  switch, rekey, close
//! ```
//!
//! The rule of the sending direction: the own primary key, if the peer accepts it. Otherwise the
//! current key stays, if both ends still have it. Otherwise the first key of the peer's ring that
//! this node has.
//!
//! A link may be under a key that this node no longer has for [`REMOVED_KEY_LASTS`], because the
//! peer's ring may be on its way. Then it is closed.

use std::time::{Duration, Instant};

use super::error::AuthError;
use super::key::{Key, KeyId};
use super::key_ring::KeyRing;

/// How long a link may be under a key that was removed.
pub const REMOVED_KEY_LASTS: Duration = Duration::from_secs(2);
/// How long a direction may be under one key. A key that is learned later opens no more than what
/// was sent in this time.
pub const KEY_LASTS: Duration = Duration::from_secs(600);

/// What the owner of a link has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send a record with the ids of this node's ring.
    Announce,
    /// Send under this key from now on.
    Switch(Key),
    /// Send under a new key from now on.
    Rekey,
    /// Refuse the peer with [`Refusal::KeyRemoved`](super::Refusal::KeyRemoved), and close the link.
    Close(AuthError),
}

/// The keys of one link.
#[derive(Debug)]
pub struct Rotation {
    /// What the peer was told.
    announced: Vec<KeyId>,
    peer_ring: Vec<KeyId>,
    sending: KeyId,
    receiving: KeyId,
    /// When the sending direction got its key.
    sending_since: Instant,
    /// Since when the link is under a key that this node has no longer.
    outdated_since: Option<Instant>,
}

impl Rotation {
    /// A link that was just made under a key. `announced` and `peer_ring` are the rings of the
    /// handshake.
    pub fn new(
        announced: Vec<KeyId>,
        peer_ring: Vec<KeyId>,
        sending: KeyId,
        receiving: KeyId,
        now: Instant,
    ) -> Self {
        Self { announced, peer_ring, sending, receiving, sending_since: now, outdated_since: None }
    }

    /// Records the ring that the peer has announced.
    pub fn set_peer_ring(&mut self, ids: Vec<KeyId>) {
        self.peer_ring = ids;
    }

    /// Records that the peer sends under another key from now on.
    pub fn set_receiving(&mut self, id: KeyId) {
        self.receiving = id;
    }

    /// Whether both directions are under a key.
    pub fn is_under(&self, id: KeyId) -> bool {
        self.sending == id && self.receiving == id
    }

    /// What to do now. Call it when the own ring has changed, after each `set_…`, and at
    /// [`Rotation::next_step_at`]; do the steps in their order.
    pub fn steps(&mut self, ring: &KeyRing, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let own = ring.ids();
        if own != self.announced {
            self.announced.clone_from(&own);
            steps.push(Step::Announce);
        }
        let key = self.sending_key(ring);
        match key {
            Some(key) if key.id() != self.sending => {
                (self.sending, self.sending_since) = (key.id(), now);
                steps.push(Step::Switch(key.clone()));
            }
            Some(_) if now >= self.sending_since + KEY_LASTS => {
                self.sending_since = now;
                steps.push(Step::Rekey);
            }
            Some(_) | None => {}
        }
        if key.is_some() && ring.get(self.receiving).is_some() || planted!(RemovedKeyAccepted) {
            self.outdated_since = None;
        } else if now >= *self.outdated_since.get_or_insert(now) + REMOVED_KEY_LASTS {
            let heard = self.peer_ring.clone();
            steps.push(Step::Close(AuthError::NoCommonKey { own, heard }));
        }
        steps
    }

    /// When to call [`Rotation::steps`] next.
    pub fn next_step_at(&self) -> Instant {
        let rekey = self.sending_since + KEY_LASTS;
        self.outdated_since.map_or(rekey, |since| rekey.min(since + REMOVED_KEY_LASTS))
    }

    /// The key for the sending direction, if the two ends have one in common.
    fn sending_key<'a>(&self, ring: &'a KeyRing) -> Option<&'a Key> {
        let accepted = |id: KeyId| self.peer_ring.contains(&id).then(|| ring.get(id)).flatten();
        accepted(ring.primary().id())
            .or_else(|| accepted(self.sending))
            .or_else(|| self.peer_ring.iter().find_map(|id| ring.get(*id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number; 32])
    }

    fn id(number: u8) -> KeyId {
        key(number).id()
    }

    fn ids(numbers: &[u8]) -> Vec<KeyId> {
        numbers.iter().map(|number| id(*number)).collect()
    }

    fn ring(numbers: &[u8]) -> KeyRing {
        KeyRing::new(numbers.iter().map(|number| key(*number))).expect("keys")
    }

    /// A link under key 1, between two nodes that have only this one.
    fn link(now: Instant) -> Rotation {
        Rotation::new(ids(&[1]), ids(&[1]), id(1), id(1), now)
    }

    #[test]
    fn a_link_moves_to_the_new_primary_key_once_the_peer_accepts_it() {
        let now = Instant::now();
        let mut link = link(now);
        assert_eq!(link.steps(&ring(&[1, 2]), now), [Step::Announce]);
        assert_eq!(link.steps(&ring(&[2, 1]), now), [Step::Announce], "the peer lacks it");
        link.set_peer_ring(ids(&[1, 2]));
        assert_eq!(link.steps(&ring(&[2, 1]), now), [Step::Switch(key(2))]);
        assert_eq!(link.steps(&ring(&[2, 1]), now), []);
        assert!(!link.is_under(id(2)));
        link.set_receiving(id(2));
        assert_eq!(link.steps(&ring(&[2]), now), [Step::Announce]);
        assert!(link.is_under(id(2)));
    }

    #[test]
    fn a_link_follows_a_peer_that_has_removed_its_key() {
        let now = Instant::now();
        let mut link = link(now);
        link.steps(&ring(&[1, 2, 3]), now);
        link.set_peer_ring(ids(&[3, 2]));
        assert_eq!(link.steps(&ring(&[1, 2, 3]), now), [Step::Switch(key(3))], "the peer's first");
        link.set_peer_ring(ids(&[2, 3]));
        assert_eq!(link.steps(&ring(&[1, 2, 3]), now), [], "the current one stays");
    }

    #[test]
    fn a_link_under_a_removed_key_is_closed_unless_the_peer_moves_in_time() {
        let now = Instant::now();
        for moves in [false, true] {
            let mut link = Rotation::new(ids(&[2, 1]), ids(&[1, 2]), id(2), id(1), now);
            assert_eq!(link.steps(&ring(&[2]), now), [Step::Announce]);
            assert_eq!(link.next_step_at(), now + REMOVED_KEY_LASTS);
            if moves {
                link.set_receiving(id(2));
                assert_eq!(link.steps(&ring(&[2]), now), []);
                assert_eq!(link.next_step_at(), now + KEY_LASTS);
            }
            let steps = link.steps(&ring(&[2]), now + REMOVED_KEY_LASTS);
            assert_eq!(steps.is_empty(), moves, "{steps:?}");
        }
    }

    #[test]
    fn a_ring_that_is_on_its_way_is_waited_for() {
        let now = Instant::now();
        let mut early = link(now);
        early.steps(&ring(&[2]), now);
        early.set_peer_ring(ids(&[1, 2]));
        assert_eq!(early.steps(&ring(&[2]), now), [Step::Switch(key(2))]);
        early.set_receiving(id(2));
        assert_eq!(early.steps(&ring(&[2]), now + KEY_LASTS / 2), []);

        let mut never = link(now);
        never.steps(&ring(&[2]), now);
        let error = AuthError::NoCommonKey { own: ids(&[2]), heard: ids(&[1]) };
        let steps = never.steps(&ring(&[2]), now + REMOVED_KEY_LASTS);
        assert_eq!(steps, [Step::Close(error)]);
    }

    #[test]
    fn a_direction_gets_a_new_key_when_its_time_is_over() {
        let now = Instant::now();
        let mut link = link(now);
        assert_eq!(link.steps(&ring(&[1]), now + KEY_LASTS - Duration::from_millis(1)), []);
        assert_eq!(link.next_step_at(), now + KEY_LASTS);
        assert_eq!(link.steps(&ring(&[1]), now + KEY_LASTS), [Step::Rekey]);
        assert_eq!(link.next_step_at(), now + 2 * KEY_LASTS);
    }
}
