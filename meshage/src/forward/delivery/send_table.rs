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
const ROW_MIN: usize = 256;
/// A longer one is, where less than one place in so many is taken.
const TAKEN_MIN: usize = 4;

pub(super) type Groups = SmallVec<[Range<usize>; 1]>;

/// What all frames of one message share.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) id: u64,
    pub(super) channel: Channel,
    pub(super) encoding: Encoding,
    pub(super) body: Bytes,
    pub(super) recipients: Names,
    /// Runs of recipients short enough for one header.
    pub(super) groups: Groups,
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
    pub(super) left: usize,
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
        Self { completion, content, outcomes, entries, left: 1, cost, flooded_at: None }
    }
}

/// The sends under way.
#[derive(Debug)]
pub(super) struct SendTable<C> {
    /// The number of the first place of the row.
    first: u64,
    row: VecDeque<Option<OutstandingSend<C>>>,
    /// How many places of the row are taken.
    taken: usize,
    /// Older than the row.
    aside: HashMap<u64, OutstandingSend<C>>,
}

impl<C> SendTable<C> {
    pub(super) fn new() -> Self {
        Self { first: 0, row: VecDeque::new(), taken: 0, aside: HashMap::new() }
    }

    /// Adds a send, of a greater number than any before.
    pub(super) fn insert(&mut self, id: u64, op: OutstandingSend<C>) {
        if self.first + self.row.len() as u64 != id {
            // Numbers were left out: a row begins anew.
            self.put_aside(self.row.len());
            self.first = id;
        }
        self.row.push_back(Some(op));
        self.taken += 1;
        if self.row.len() >= ROW_MIN && self.row.len() > self.taken * TAKEN_MIN {
            self.put_aside(self.row.len() / 2);
        }
    }

    /// Empties so many places of the row, the oldest.
    fn put_aside(&mut self, places: usize) {
        for op in self.row.drain(..places) {
            if let Some(op) = op {
                self.taken -= 1;
                self.aside.insert(self.first, op);
            }
            self.first += 1;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while let Some(None) = self.row.front() {
            self.row.pop_front();
            self.first += 1;
        }
    }

    fn place(&self, id: u64) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first)?).ok()
    }

    pub(super) fn get(&self, id: u64) -> Option<&OutstandingSend<C>> {
        match self.place(id) {
            Some(place) => self.row.get(place)?.as_ref(),
            None => self.aside.get(&id),
        }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut OutstandingSend<C>> {
        match self.place(id) {
            Some(place) => self.row.get_mut(place)?.as_mut(),
            None => self.aside.get_mut(&id),
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<OutstandingSend<C>> {
        let Some(place) = self.place(id) else {
            return self.aside.remove(&id);
        };
        let op = self.row.get_mut(place)?.take()?;
        self.taken -= 1;
        if place == 0 {
            self.trim();
        }
        Some(op)
    }

    pub(super) fn len(&self) -> usize {
        self.taken + self.aside.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut OutstandingSend<C>> {
        self.row.iter_mut().flatten().chain(self.aside.values_mut())
    }

    /// Takes all of them out, the oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = OutstandingSend<C>> + use<C> {
        let mut all: Vec<(u64, OutstandingSend<C>)> = self.aside.drain().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        let row = std::mem::take(&mut self.row);
        self.taken = 0;
        all.into_iter().map(|(_, op)| op).chain(row.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(number: u64) -> OutstandingSend<u64> {
        let content = Content {
            id: number,
            channel: Channel::ALL[0],
            encoding: Encoding::BYTES,
            body: Bytes::new(),
            recipients: Names::new(),
            groups: Groups::new(),
        };
        OutstandingSend::single(number, Arc::new(content), (0, number), 0)
    }

    #[test]
    fn sends_are_found_until_they_end_in_whatever_order() {
        let mut ops = SendTable::new();
        for id in [1, 2, 5, 6] {
            ops.insert(id, op(id));
        }
        assert!(ops.get(3).is_none() && ops.get(7).is_none() && ops.get(0).is_none());
        for (left, id) in [(3, 2), (2, 6), (1, 1), (0, 5)] {
            assert_eq!(ops.remove(id).map(|op| op.completion), Some(id));
            assert!(ops.remove(id).is_none());
            assert_eq!(ops.len(), left);
        }
        ops.insert(7, op(7));
        assert_eq!(ops.get_mut(7).map(|op| op.completion), Some(7));
        ops.insert(1 << 40, op(1 << 40));
        assert!(ops.row.len() == 1 && ops.len() == 2);
        assert_eq!(ops.remove(7).map(|op| op.completion), Some(7));
    }

    #[test]
    fn who_is_left_behind_does_not_stretch_the_row() {
        let mut ops = SendTable::new();
        for id in 1..=100_000 {
            ops.insert(id, op(id));
            // Every thousandth stays; the others end ten later.
            if let Some(ended) = id.checked_sub(10).filter(|ended| ended % 1000 != 1) {
                ops.remove(ended);
            }
            assert!(ops.row.len() <= ROW_MIN, "{id}: {}", ops.row.len());
        }
        assert_eq!(ops.len(), 100 + 10);
        for id in (1..=100_000).step_by(1000) {
            assert_eq!(ops.get(id).map(|op| op.completion), Some(id));
        }
        let all: Vec<u64> = ops.drain().map(|op| op.completion).collect();
        assert!(all.is_sorted() && all.len() == 110 && ops.is_empty());
    }
}
