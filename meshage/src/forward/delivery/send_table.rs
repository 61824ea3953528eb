//! The sends under way, each under its number.
//!
//! Numbers grow, mostly by one, and most sends end in the order they began, so the recent ones stand in a
//! row. Those that are left behind, waiting for a slow recipient while thousands come and go, are
//! put aside, so that the row stays as long as what it holds.

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

/// A row shorter than this is never tidied: 24 KiB of places.
const RECENT_MIN: usize = 256;
/// A longer one is, where less than one place in so many is taken.
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
    /// Runs of recipients short enough for one header.
    pub(super) groups: RecipientGroups,
}

impl Content {
    /// The run that a recipient is in.
    pub(super) fn group(&self, recipient: usize) -> usize {
        self.groups.partition_point(|group| group.end <= recipient)
    }
}

/// A send under way.
#[derive(Debug)]
pub(super) struct OutstandingSend<C> {
    pub(super) completion: C,
    pub(super) content: Arc<Content>,
    pub(super) outcomes: SmallVec<[Option<Outcome>; 1]>,
    /// Where each recipient's entry is.
    pub(super) entries: SmallVec<[Option<(usize, u64)>; 1]>,
    pub(super) pending: usize,
    pub(super) cost: u64,
    /// When copies went out along the tree, of a broadcast.
    pub(super) flooded_at: Option<Instant>,
}

impl<C> OutstandingSend<C> {
    /// A send to one recipient, whose entry is there.
    pub(super) fn single(
        completion: C,
        content: Arc<Content>,
        entry: (usize, u64),
        cost: u64,
    ) -> Self {
        let (outcomes, entries) = (smallvec![None], smallvec![Some(entry)]);
        Self { completion, content, outcomes, entries, pending: 1, cost, flooded_at: None }
    }
}

/// The sends under way.
#[derive(Debug)]
pub(super) struct SendTable<C> {
    /// The number of the first place of the row.
    first: u64,
    recent: VecDeque<Option<OutstandingSend<C>>>,
    /// How many places of the row are taken.
    occupied: usize,
    /// Older than the row.
    older: HashMap<u64, OutstandingSend<C>>,
}

impl<C> SendTable<C> {
    pub(super) fn new() -> Self {
        Self { first: 0, recent: VecDeque::new(), occupied: 0, older: HashMap::new() }
    }

    /// Adds a send, of a greater number than any before.
    pub(super) fn insert(&mut self, id: u64, send: OutstandingSend<C>) {
        if self.first + self.recent.len() as u64 != id {
            // Numbers were left out: a row begins anew.
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

    /// Empties so many places of the row, the oldest.
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

    /// All of them, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut OutstandingSend<C>> {
        self.recent.iter_mut().flatten().chain(self.older.values_mut())
    }

    /// Takes all of them out, the oldest first.
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
    fn sends_are_found_until_they_end_in_whatever_order() {
        let mut sends = SendTable::new();
        for id in [1, 2, 5, 6] {
            sends.insert(id, send(id));
        }
        assert!(sends.get(3).is_none() && sends.get(7).is_none() && sends.get(0).is_none());
        for (left, id) in [(3, 2), (2, 6), (1, 1), (0, 5)] {
            assert_eq!(sends.remove(id).map(|send| send.completion), Some(id));
            assert!(sends.remove(id).is_none());
            assert_eq!(sends.len(), left);
        }
        sends.insert(7, send(7));
        assert_eq!(sends.get_mut(7).map(|send| send.completion), Some(7));
        sends.insert(1 << 40, send(1 << 40));
        assert!(sends.recent.len() == 1 && sends.len() == 2);
        assert_eq!(sends.remove(7).map(|send| send.completion), Some(7));
    }

    #[test]
    fn who_is_left_behind_does_not_stretch_the_row() {
        let mut sends = SendTable::new();
        for id in 1..=100_000 {
            sends.insert(id, send(id));
            // Every thousandth stays; the others end ten later.
            if let Some(ended) = id.checked_sub(10).filter(|ended| ended % 1000 != 1) {
                sends.remove(ended);
            }
            assert!(sends.recent.len() <= RECENT_MIN, "{id}: {}", sends.recent.len());
        }
        assert_eq!(sends.len(), 100 + 10);
        for id in (1..=100_000).step_by(1000) {
            assert_eq!(sends.get(id).map(|send| send.completion), Some(id));
        }
        let all: Vec<u64> = sends.drain().map(|send| send.completion).collect();
        assert!(all.is_sorted() && all.len() == 110 && sends.is_empty());
    }
}
