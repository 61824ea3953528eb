//! Duplicate detection and order: which messages of each source were delivered here. No message is
//! delivered twice, and none out of order.
//!
//! ```text
//!              floor sent by the source
//!                │
//!   … delivered ─┴─ delivered or skipped ──► next    only `next` is accepted, nothing beyond it
//!   └──── window of the last 4,096 ────┘
//! ```
//!
//! A frame that another node forged in the name of a source may have moved `next` beyond everything
//! that the source has sent. The source detects it by the next acknowledgement, and the receiver
//! then goes back ([`SourceState::restart`]).

use std::collections::{BTreeSet, VecDeque};

use foldhash::HashMap;

use crate::name::Instance;
use crate::wire::data::{Channel, MessageSequence};

/// How many recent messages of a channel a receiver can recognise as delivered. Older ones are
/// refused as stale.
pub const DEDUP_WINDOW: u64 = 4096;

/// How many sources are remembered: as many as the database holds nodes. Beyond that, the least
/// recently active one is forgotten.
pub const DEDUP_SOURCES_MAX: usize = 131_072;

/// How many refused messages of a source are remembered: the oldest ones. A source resends from the
/// first refused message on, so order depends on the next few only.
pub const REFUSED_MAX: usize = 64;

/// How the sequence number of a message compares with those delivered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next message of its channel.
    Next,
    /// An earlier message is still missing.
    Early,
    /// It was delivered before.
    Duplicate,
    /// Its source has given it up, or it is older than the window: it will never be delivered.
    Stale,
    /// Another message was delivered with its number: one of the two is forged. Neither this one nor
    /// that one may be reported as delivered.
    Conflict,
}

/// Stands for a number with which no message was delivered.
const NOT_DELIVERED: u32 = 0;

/// A part of a message's id, by which a message that arrives again is told from another one with the
/// same number.
fn fingerprint(id: u64) -> u32 {
    id as u32 | 1 << 31
}

/// The deliveries in one channel of one source.
#[derive(Debug)]
struct Window {
    next: u64,
    /// The fingerprint of the message that was delivered with each of the numbers before `next`, or
    /// [`NOT_DELIVERED`]; newest last.
    delivered: VecDeque<u32>,
    before: Before,
}

/// What is known of the numbers before those in [`Window::delivered`].
#[derive(Debug)]
enum Before {
    /// None of them was received: the first number that arrived was a later one.
    NotReceived,
    /// The window left them by one jump: `next` and `delivered` before it.
    Jump(Box<(u64, VecDeque<u32>)>),
    /// Nothing.
    Forgotten,
}

impl Window {
    /// Starts at the floor: every message from there on may be meant for this receiver. (The floor
    /// of a broadcast is that of all its recipients. A newcomer may thus expect too much. It
    /// refuses the broadcast as early, and the source resends it with a floor for this recipient.)
    fn new(sequence: MessageSequence) -> Self {
        Self { next: sequence.floor, delivered: VecDeque::new(), before: Before::NotReceived }
    }

    fn step(&mut self, delivered: u32) {
        self.next += 1;
        self.delivered.push_back(delivered);
        if self.delivered.len() as u64 > DEDUP_WINDOW {
            self.delivered.pop_front();
            self.before = Before::Forgotten;
        }
    }

    fn skip_to(&mut self, floor: u64) {
        if floor.saturating_sub(self.next) > DEDUP_WINDOW {
            let delivered = std::mem::take(&mut self.delivered);
            self.before = Before::Jump(Box::new((self.next, delivered)));
            self.next = floor;
        }
        while self.next < floor {
            self.step(NOT_DELIVERED);
        }
    }

    /// Goes back to just behind the last number below `limit` that was delivered. No number below
    /// `limit` that may have been delivered is accepted again. Returns `false` if none was received.
    fn go_back(&mut self, limit: u64) -> bool {
        while self.next > limit && self.delivered.pop_back().is_some() {
            self.next -= 1;
        }
        if self.next > limit {
            match std::mem::replace(&mut self.before, Before::Forgotten) {
                Before::NotReceived => return false,
                Before::Jump(before) if before.0 <= limit => (self.next, self.delivered) = *before,
                Before::Jump(_) | Before::Forgotten => self.next = limit,
            }
        }
        while self.delivered.back() == Some(&NOT_DELIVERED) {
            self.delivered.pop_back();
            self.next -= 1;
        }
        true
    }

    fn arrival(&mut self, sequence: MessageSequence, id: u64) -> Arrival {
        self.skip_to(sequence.floor);
        let forgotten = planted!(LastDeliveryForgotten) && sequence.number + 1 == self.next;
        if sequence.number == self.next || forgotten {
            return Arrival::Next;
        }
        if sequence.number > self.next {
            return Arrival::Early;
        }
        let back = self.next - sequence.number;
        let position = (self.delivered.len() as u64).checked_sub(back);
        match position.and_then(|position| self.delivered.get(position as usize)) {
            Some(&NOT_DELIVERED) | None => Arrival::Stale,
            Some(&delivered) if delivered == fingerprint(id) => Arrival::Duplicate,
            Some(_) => Arrival::Conflict,
        }
    }
}

/// The deliveries and refusals of one source.
#[derive(Debug, Default)]
pub struct SourceState {
    channels: [Option<Window>; 4],
    /// The ids of refused messages that may be resent: those refused because a queue was full, or
    /// because they were early. Small and large ones are separate.
    refused: [BTreeSet<u64>; 2],
    last_used: u64,
}

impl SourceState {
    /// Compares message `id` with the deliveries in its channel and the channel's sibling. `oldest`
    /// is the source's oldest outstanding message, if the source included it.
    pub fn arrival(
        &mut self,
        channel: Channel,
        sequence: MessageSequence,
        id: u64,
        oldest: Option<u64>,
    ) -> Arrival {
        let refused = &mut self.refused[usize::from(channel.large)];
        while refused.first().is_some_and(|refused| oldest.is_some_and(|oldest| oldest > *refused))
        {
            refused.pop_first();
        }
        let behind = refused.first().is_some_and(|refused| id > *refused)
            && !planted!(RefusedMessageOvertaken);
        let window = self.channels[channel.index()].get_or_insert_with(|| Window::new(sequence));
        let arrival = window.arrival(sequence, id);
        let arrival = if behind && arrival == Arrival::Next { Arrival::Early } else { arrival };
        // A stale message is sent again if the channel starts anew; `oldest` shows it otherwise.
        if matches!(arrival, Arrival::Early | Arrival::Stale) {
            self.refused(channel, id);
        }
        arrival
    }

    /// Records that message `id`, the next of its channel, was delivered.
    pub fn delivered(&mut self, channel: Channel, id: u64) {
        self.refused[usize::from(channel.large)].remove(&id);
        if let Some(window) = &mut self.channels[channel.index()] {
            window.step(fingerprint(id));
        }
    }

    /// Records that message `id` was refused: no newer message is accepted before it.
    pub fn refused(&mut self, channel: Channel, id: u64) {
        let refused = &mut self.refused[usize::from(channel.large)];
        refused.insert(id);
        if refused.len() > REFUSED_MAX {
            refused.pop_last();
        }
    }

    /// Starts a channel anew, because nothing of its source from number `limit` on was delivered
    /// here, whatever the numbers say: unless the
    /// next number is not the `claimed` one any more. Returns whether it did.
    ///
    /// A receiver that has only ever seen numbers beyond the limit forgets the channel, as if
    /// nothing had been received in it.
    pub fn restart(&mut self, channel: Channel, claimed: u64, limit: u64) -> bool {
        let window = &mut self.channels[channel.index()];
        let Some(known) = window.as_mut().filter(|it| it.next == claimed && limit < claimed) else {
            return false;
        };
        if !known.go_back(limit) {
            *window = None;
        }
        true
    }

    /// The next sequence number of a channel; 0 if nothing was received in it.
    pub fn next(&self, channel: Channel) -> u64 {
        self.channels[channel.index()].as_ref().map_or(0, |window| window.next)
    }
}

/// The deliveries of every source.
#[derive(Debug, Default)]
pub struct Dedup {
    sources: HashMap<Instance, SourceState>,
    uses: u64,
}

impl Dedup {
    /// The state of a source, which is remembered from now on.
    pub fn source(&mut self, source: Instance) -> &mut SourceState {
        self.make_room(source);
        self.uses += 1;
        let entry = self.sources.entry(source).or_default();
        entry.last_used = self.uses;
        entry
    }

    /// The next sequence number of a source's channel; 0 if nothing was received in it.
    pub fn next(&self, source: Instance, channel: Channel) -> u64 {
        self.sources.get(&source).map_or(0, |source| source.next(channel))
    }

    /// As [`SourceState::restart`], for a source that may be unknown.
    pub fn restart(
        &mut self,
        source: Instance,
        channel: Channel,
        claimed: u64,
        limit: u64,
    ) -> bool {
        let source = self.sources.get_mut(&source);
        source.is_some_and(|source| source.restart(channel, claimed, limit))
    }

    /// How many sources are remembered.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    fn make_room(&mut self, source: Instance) {
        if self.sources.len() < DEDUP_SOURCES_MAX || self.sources.contains_key(&source) {
            return;
        }
        let oldest =
            self.sources.iter().min_by_key(|(_, entry)| entry.last_used).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.sources.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: Channel = Channel { broadcast: false, large: false };
    const BROADCAST: Channel = Channel { broadcast: true, large: false };
    const SOURCE: Instance = Instance(1);

    fn sequence(number: u64, floor: u64) -> MessageSequence {
        MessageSequence { number, floor }
    }

    /// The arrival of a message where order across channels does not matter.
    fn arrival(
        dedup: &mut Dedup,
        source: Instance,
        channel: Channel,
        sequence: MessageSequence,
    ) -> Arrival {
        dedup.source(source).arrival(channel, sequence, 0, None)
    }

    #[test]
    fn no_newer_message_is_accepted_before_a_refused_one() {
        let mut dedup = Dedup::default();
        let mut arrive = |channel, id, oldest| {
            let arrival = dedup.source(SOURCE).arrival(channel, sequence(1, 1), id, oldest);
            if arrival == Arrival::Next {
                dedup.source(SOURCE).refused(channel, id);
            }
            arrival
        };
        assert_eq!(arrive(SET, 7, Some(7)), Arrival::Next);
        assert_eq!(arrive(BROADCAST, 8, None), Arrival::Early);
        assert_eq!(arrive(BROADCAST, 8, Some(7)), Arrival::Early);
        assert_eq!(
            arrive(BROADCAST, 8, Some(8)),
            Arrival::Next,
            "the source gave up the older one"
        );
        dedup.source(SOURCE).delivered(BROADCAST, 8);
        assert_eq!(dedup.source(SOURCE).arrival(BROADCAST, sequence(2, 2), 9, None), Arrival::Next);
    }

    #[test]
    fn a_broadcast_does_not_overtake_a_set_that_was_early() {
        let mut dedup = Dedup::default();
        assert_eq!(
            dedup.source(SOURCE).arrival(SET, sequence(16, 14), 77, Some(74)),
            Arrival::Early
        );
        assert_eq!(
            dedup.source(SOURCE).arrival(BROADCAST, sequence(4, 4), 132, None),
            Arrival::Early
        );
        assert_eq!(
            dedup.source(SOURCE).arrival(SET, sequence(16, 16), 77, Some(77)),
            Arrival::Next
        );
        dedup.source(SOURCE).delivered(SET, 77);
        assert_eq!(
            dedup.source(SOURCE).arrival(BROADCAST, sequence(4, 4), 132, Some(132)),
            Arrival::Next
        );
    }

    #[test]
    fn every_one_of_several_refused_messages_is_waited_for() {
        let mut dedup = Dedup::default();
        dedup.source(SOURCE).arrival(BROADCAST, sequence(4, 4), 24, None);
        dedup.source(SOURCE).refused(BROADCAST, 24);
        assert_eq!(
            dedup.source(SOURCE).arrival(SET, sequence(12, 12), 25, Some(24)),
            Arrival::Early
        );
        assert_eq!(
            dedup.source(SOURCE).arrival(BROADCAST, sequence(4, 4), 24, Some(24)),
            Arrival::Next
        );
        dedup.source(SOURCE).delivered(BROADCAST, 24);
        assert_eq!(
            dedup.source(SOURCE).arrival(BROADCAST, sequence(5, 4), 27, Some(24)),
            Arrival::Early
        );
        assert_eq!(
            dedup.source(SOURCE).arrival(SET, sequence(12, 12), 25, Some(24)),
            Arrival::Next
        );
    }

    #[test]
    fn no_more_refused_messages_are_remembered_than_the_limit() {
        let mut dedup = Dedup::default();
        for id in (1..=2 * REFUSED_MAX as u64).rev() {
            dedup.source(SOURCE).arrival(SET, sequence(id + 1, 1), id, None);
        }
        let refused = &dedup.sources[&SOURCE].refused[0];
        assert_eq!(
            (refused.len(), refused.first()),
            (REFUSED_MAX, Some(&1)),
            "the oldest are kept"
        );
    }

    #[test]
    fn messages_are_accepted_in_order_and_once() {
        let mut dedup = Dedup::default();
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(2, 1)), Arrival::Early);
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(1, 1)), Arrival::Next);
        dedup.source(SOURCE).delivered(SET, 0);
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(1, 1)), Arrival::Duplicate);
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(2, 1)), Arrival::Next);
        assert_eq!(dedup.next(SOURCE, SET), 2);
    }

    #[test]
    fn a_message_that_its_source_gave_up_is_never_delivered() {
        let mut dedup = Dedup::default();
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(1, 1)), Arrival::Next);
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(3, 3)), Arrival::Next);
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(1, 1)), Arrival::Stale);
    }

    #[test]
    fn a_message_older_than_the_window_is_refused() {
        let mut dedup = Dedup::default();
        for number in 1..=DEDUP_WINDOW + 1 {
            assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(number, 1)), Arrival::Next);
            dedup.source(SOURCE).delivered(SET, 0);
        }
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(1, 1)), Arrival::Stale);
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(2, 1)), Arrival::Duplicate);
        let far = DEDUP_WINDOW * 1000;
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(far, far)), Arrival::Next);
        assert_eq!(arrival(&mut dedup, SOURCE, SET, sequence(far - 1, 1)), Arrival::Stale);
    }

    #[test]
    fn a_newcomer_starts_at_the_floor() {
        let mut dedup = Dedup::default();
        assert_eq!(arrival(&mut dedup, SOURCE, BROADCAST, sequence(57, 50)), Arrival::Early);
        assert_eq!(arrival(&mut dedup, SOURCE, BROADCAST, sequence(57, 57)), Arrival::Next);
    }

    #[test]
    fn the_least_recently_active_source_is_forgotten_at_the_limit() {
        let mut dedup = Dedup::default();
        for source in 0..=DEDUP_SOURCES_MAX as u64 {
            arrival(&mut dedup, Instance(source), SET, sequence(1, 1));
            dedup.source(Instance(source)).delivered(SET, 0);
        }
        assert_eq!(dedup.sources(), DEDUP_SOURCES_MAX);
        assert_eq!(dedup.next(Instance(0), SET), 0, "the first is forgotten");
        assert_eq!(dedup.next(Instance(1), SET), 2);
    }
}
