//! The outstanding sends by their ids.
//!
//! Ids ascend, usually by one, and most sends complete in the order in which they started. So the
//! recent ones are kept in a deque that is indexed by id. Sends that wait for a slow recipient
//! while thousands of others complete are moved to a map, so that the deque stays short.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use smallvec::{SmallVec, smallvec};

use crate::message::{Encoding, Outcome};
use crate::name::Names;
use crate::wire::data::Channel;

/// A deque shorter than this is never compacted: 24 KiB of slots.
const RECENT_MIN: usize = 256;
/// A longer one is compacted if fewer than one slot in so many is occupied.
const OCCUPIED_PART_MIN: usize = 4;

pub(super) type RecipientGroups = SmallVec<[Range<usize>; 1]>;

/// What all frames of one message share.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) id: u64,
    pub(super) channel: Channel,
    pub(super) encoding: Encoding,
    pub(super) body: Bytes,
    pub(super) recipients: Names,
    /// Groups of recipients that each fit into one header.
    pub(super) groups: RecipientGroups,
}

impl Content {
    /// The index of a recipient's group.
    pub(super) fn group(&self, recipient: usize) -> usize {
        self.groups.partition_point(|group| group.end <= recipient)
    }
}

/// An outstanding send.
#[derive(Debug)]
pub(super) struct OutstandingSend<C> {
    /// `None` if the send was completed when it started, because its caller does not wait.
    pub(super) completion: Option<C>,
    pub(super) content: Arc<Content>,
    pub(super) outcomes: SmallVec<[Option<Outcome>; 1]>,
    /// The flow and the sequence number of each recipient's entry.
    pub(super) entries: SmallVec<[Option<(usize, u64)>; 1]>,
    pub(super) pending: usize,
    pub(super) cost: u64,
    /// When copies of a broadcast were sent along the tree.
    pub(super) flooded_at: Option<Instant>,
}

impl<C> OutstandingSend<C> {
    /// A send to one recipient, whose entry exists already.
    pub(super) fn single(
        completion: C,
        content: Arc<Content>,
        entry: (usize, u64),
        cost: u64,
    ) -> Self {
        let (outcomes, entries) = (smallvec![None], smallvec![Some(entry)]);
        let completion = Some(completion);
        Self { completion, content, outcomes, entries, pending: 1, cost, flooded_at: None }
    }
}

/// The outstanding sends.
#[derive(Debug)]
pub(super) struct SendTable<C> {
    /// The id of the first slot of `recent`.
    first: u64,
    recent: VecDeque<Option<OutstandingSend<C>>>,
    /// How many slots of `recent` are occupied.
    occupied: usize,
    /// Sends with smaller ids than those in `recent`.
    older: HashMap<u64, OutstandingSend<C>>,
}

impl<C> SendTable<C> {
    pub(super) fn new() -> Self {
        Self { first: 0, recent: VecDeque::new(), occupied: 0, older: HashMap::new() }
    }

    /// Adds a send; its id must be greater than all before.
    pub(super) fn insert(&mut self, id: u64, send: OutstandingSend<C>) {
        if self.first + self.recent.len() as u64 != id {
            // Ids were skipped: start a new deque.
            self.move_to_older(self.recent.len());
            self.first = id;
        }
        self.recent.push_back(Some(send));
        self.occupied += 1;
        if self.recent.len() >= RECENT_MIN && self.recent.len() > self.occupied * OCCUPIED_PART_MIN
        {
            self.move_to_older(self.recent.len() / 2);
        }
    }

    /// Empties the first `count` slots of `recent`.
    fn move_to_older(&mut self, count: usize) {
        for send in self.recent.drain(..count) {
            if let Some(send) = send {
                self.occupied -= 1;
                self.older.insert(self.first, send);
            }
            self.first += 1;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while let Some(None) = self.recent.front() {
            self.recent.pop_front();
            self.first += 1;
        }
    }

    fn position(&self, id: u64) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first)?).ok()
    }

    pub(super) fn get(&self, id: u64) -> Option<&OutstandingSend<C>> {
        match self.position(id) {
            Some(position) => self.recent.get(position)?.as_ref(),
            None => self.older.get(&id),
        }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut OutstandingSend<C>> {
        match self.position(id) {
            Some(position) => self.recent.get_mut(position)?.as_mut(),
            None => self.older.get_mut(&id),
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<OutstandingSend<C>> {
        let Some(position) = self.position(id) else {
            return self.older.remove(&id);
        };
        let send = self.recent.get_mut(position)?.take()?;
        self.occupied -= 1;
        if position == 0 {
            self.trim();
        }
        Some(send)
    }

    pub(super) fn len(&self) -> usize {
        self.occupied + self.older.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All sends, in no particular order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut OutstandingSend<C>> {
        self.recent.iter_mut().flatten().chain(self.older.values_mut())
    }

    /// Removes all sends, and returns them from the oldest to the newest.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = OutstandingSend<C>> + use<C> {
        let mut all: Vec<(u64, OutstandingSend<C>)> = self.older.drain().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        let recent = std::mem::take(&mut self.recent);
        self.occupied = 0;
        all.into_iter().map(|(_, send)| send).chain(recent.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(number: u64) -> OutstandingSend<u64> {
        let content = Content {
            id: number,
            channel: Channel::ALL[0],
            encoding: Encoding::BYTES,
            body: Bytes::new(),
            recipients: Names::new(),
            groups: RecipientGroups::new(),
        };
        OutstandingSend::single(number, Arc::new(content), (0, number), 0)
    }

    #[test]
    fn sends_are_found_until_they_complete_in_any_order() {
        let mut sends = SendTable::new();
        for id in [1, 2, 5, 6] {
            sends.insert(id, send(id));
        }
        assert!(sends.get(3).is_none() && sends.get(7).is_none() && sends.get(0).is_none());
        for (left, id) in [(3, 2), (2, 6), (1, 1), (0, 5)] {
            assert_eq!(sends.remove(id).and_then(|send| send.completion), Some(id));
            assert!(sends.remove(id).is_none());
            assert_eq!(sends.len(), left);
        }
        sends.insert(7, send(7));
        assert_eq!(sends.get_mut(7).and_then(|send| send.completion), Some(7));
        sends.insert(1 << 40, send(1 << 40));
        assert!(sends.recent.len() == 1 && sends.len() == 2);
        assert_eq!(sends.remove(7).and_then(|send| send.completion), Some(7));
    }

    #[test]
    fn old_sends_do_not_lengthen_the_deque() {
        let mut sends = SendTable::new();
        for id in 1..=100_000 {
            sends.insert(id, send(id));
            // Every thousandth stays; the others complete ten sends later.
            if let Some(ended) = id.checked_sub(10).filter(|ended| ended % 1000 != 1) {
                sends.remove(ended);
            }
            assert!(sends.recent.len() <= RECENT_MIN, "{id}: {}", sends.recent.len());
        }
        assert_eq!(sends.len(), 100 + 10);
        for id in (1..=100_000).step_by(1000) {
            assert_eq!(sends.get(id).and_then(|send| send.completion), Some(id));
        }
        let all: Vec<u64> = sends.drain().filter_map(|send| send.completion).collect();
        assert!(all.is_sorted() && all.len() == 110 && sends.is_empty());
    }
}
