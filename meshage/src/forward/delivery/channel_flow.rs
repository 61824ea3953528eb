//! One channel of a flow: its outstanding messages, its window, and its state.
//!
//! ```text
//!                 refused (busy, early, …)          everything sent is acknowledged or refused
//!   ┌──────┐ ───────────────────────────► ┌──────────┐ ─────────────────────────► ┌─────────┐
//!   │ open │                              │ draining │                            │ stalled │
//!   └──────┘ ◄─────────────────────────── └──────────┘                            └─────────┘
//!      ▲      all refusals were "early", or the receiver is ready, or nothing is left  │
//!      └───────────────────────────────────────────────────────────────────────────────┘
//!                              after a back-off, or when the receiver is ready
//! ```
//!
//! Refusals do not break the order. A channel in which a message was refused sends nothing new
//! until everything that it has sent is acknowledged or refused. Then it resumes from the first
//! message that is still outstanding. A set channel and the broadcast channel of the same size do
//! this together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::congestion::CongestionControl;
use crate::message::Outcome;
use crate::name::{Instance, LinkId};
use crate::wire::ack::Refusal;
use crate::wire::data::{CHUNK_BYTES, Channel, MessageSequence};

/// How many unacknowledged bytes a channel of small messages may have in flight: 10 Gb/s over 3 ms.
/// (Large messages are subject to [congestion control](super::congestion).)
pub const WINDOW_BYTES: u64 = 4 << 20;
/// How many bytes a message counts for in addition to its body, so that empty ones are bounded too.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 128;
/// The first back-off after a refusal. It doubles each time, up to [`BACKOFF_MAX`]. Normally the
/// receiver reports earlier that it has room.
pub const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// The longest back-off after a refusal.
pub const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// After this long without an acknowledgement the receiver is queried: one was lost, or is late.
pub const QUERY_AFTER: Duration = Duration::from_secs(1);
/// The same for a broadcast: while routes change, a relay may follow another tree than the source
/// did, and leave out some recipients without detecting it.
pub const FLOOD_QUERY_AFTER: Duration = Duration::from_millis(200);
/// How long routes must have been unchanged before all nodes are assumed to agree on them: much
/// longer than an announcement takes to reach every node and its routes.
pub const ROUTES_STABLE_AFTER: Duration = Duration::from_secs(1);
/// How often an acknowledgement makes the source check for lost messages.
pub const LOSS_CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// A message that a receiver has not acknowledged after this long, although it answers queries, is
/// lost: unless older messages of the channel still arrive, or messages wait for the link that it
/// was sent over, as they do in front of a slow path.
pub const UNANSWERED_MAX: Duration = Duration::from_secs(10);

/// The stage of a message on its way to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not sent, or to be resent.
    Waiting,
    /// Being sent.
    Sending,
    /// Sent, and neither acknowledged nor refused.
    Sent,
    /// Refused: certainly not delivered, to be resent.
    Refused(Refusal),
    /// Its outcome is known.
    Done,
}

/// One message to one recipient.
#[derive(Debug)]
pub struct Entry {
    /// Its sequence number in the channel.
    pub number: u64,
    /// The send that it belongs to.
    pub send: u64,
    /// The recipient's index in the list of that send.
    pub recipient: usize,
    /// How far it has got.
    pub stage: Stage,
    /// A copy may have reached the recipient although no acknowledgement confirms it.
    pub uncertain: bool,
    /// It is one of the copies of a broadcast that follow the source's tree.
    pub flooded: bool,
    /// The number of the routes by which the broadcast was flooded; 0 if they had just changed.
    pub flood_epoch: Option<u64>,
    /// Resend it even if a copy may have arrived.
    pub retry: bool,
    /// The time by which it must have an outcome.
    pub deadline: Option<Instant>,
    /// The reason of its last refusal.
    pub last_refusal: Option<Refusal>,
    /// How many of its bytes are in flight.
    pub in_flight: u64,
    /// When it was sent. While it is being sent: when that started, or when some of it last
    /// arrived.
    pub sent_at: Option<Instant>,
    /// The link and the path that it was sent over.
    pub path: Option<(LinkId, Arc<[Instance]>)>,
}

impl Entry {
    /// Whether a copy may be in flight although all known copies were refused. While routes change,
    /// nodes use different trees, so that two copies of a broadcast may reach the same node.
    pub fn is_uncertain(&self, epoch: u64) -> bool {
        !planted!(UncertainReportedAsCertain)
            && (self.uncertain || self.flood_epoch.is_some_and(|flooded| flooded != epoch))
    }

    /// The outcome if it ends now without an acknowledgement, while the routes with this number are
    /// in force. It is `certain` if no copy can have arrived.
    pub fn outcome(&self, certain: Outcome, epoch: u64) -> Outcome {
        match self.stage {
            Stage::Sent => Outcome::Timeout,
            Stage::Waiting | Stage::Sending | Stage::Refused(_) | Stage::Done => {
                if self.is_uncertain(epoch) { Outcome::Timeout } else { certain }
            }
        }
    }
}

/// The recipient expects a number that this node has not reached, and must start the channel anew.
/// Nothing is sent in the channel until it has done so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// The number that the recipient expects.
    pub claimed: u64,
    /// The first number that was not sent when this was detected. A recipient that expects a later
    /// one has not started anew.
    pub sent_limit: u64,
    /// The limit that the recipient was sent last: no message from there on was delivered.
    pub requested: Option<u64>,
}

impl Restart {
    /// A recipient that expects a number up to this one agrees with this node. While the recipient
    /// was asked, the broadcasts to other nodes may have passed the number that it expects.
    pub fn limit(&self) -> u64 {
        self.sent_limit.max(self.requested.unwrap_or(0))
    }

    /// Whether a recipient that expects this number does not know what it received before it.
    pub fn leaves_unknown(&self, next: u64) -> bool {
        self.requested == Some(next) || next > self.sent_limit
    }
}

/// The state of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelState {
    /// Sending.
    Open,
    /// A message was refused: waiting until everything sent is acknowledged or refused.
    Draining,
    /// Waiting until this time for the receiver to have room.
    Stalled(Instant),
}

/// The messages that are outstanding in one channel.
#[derive(Debug)]
pub struct ChannelFlow {
    /// By ascending sequence number. After [`ChannelFlow::trim`] the first is never
    /// [`Stage::Done`].
    pub entries: VecDeque<Entry>,
    /// The next sequence number, if the channel counts its own messages (a set channel).
    pub next: u64,
    /// The first number that was not sent.
    pub sent_limit: u64,
    /// No message from this number on has an outcome that allows a delivery.
    pub settled_limit: u64,
    /// The state of the channel.
    pub state: ChannelState,
    /// The recipient must start the channel anew.
    pub restart: Option<Restart>,
    /// Bytes in flight.
    pub in_flight: u64,
    /// How many entries are being sent, or sent and neither acknowledged nor refused.
    pub unanswered: usize,
    /// How many entries are not done.
    pub outstanding: usize,
    /// The window, in a channel of large messages.
    congestion: Option<CongestionControl>,
    /// The transmission that is sending an entry of this channel.
    pub transmission: Option<u64>,
    /// All entries before this position are past [`Stage::Waiting`].
    pub cursor: usize,
    /// When the receiver last answered or was last queried.
    pub last_contact: Instant,
    /// When the receiver last received something of this channel, as far as is known.
    pub last_progress: Instant,
    /// How long the receiver may be silent before it is queried.
    pub query_after: Duration,
    /// When the last check for lost messages was made.
    pub last_loss_check: Instant,
    backoff: Duration,
    /// The receiver has reported room since its last refusal as busy.
    ready_received: bool,
}

impl ChannelFlow {
    /// A channel with nothing outstanding, whose sequence numbers start at `first`.
    pub(super) fn new(channel: Channel, first: u64, now: Instant) -> Self {
        Self {
            entries: VecDeque::new(),
            next: first,
            sent_limit: first,
            settled_limit: first,
            state: ChannelState::Open,
            restart: None,
            in_flight: 0,
            congestion: channel.large.then(CongestionControl::default),
            unanswered: 0,
            outstanding: 0,
            transmission: None,
            cursor: 0,
            last_contact: now,
            last_progress: now,
            last_loss_check: now,
            query_after: if channel.broadcast { FLOOD_QUERY_AFTER } else { QUERY_AFTER },
            backoff: BACKOFF_MIN,
            ready_received: false,
        }
    }

    /// The position of a sequence number.
    pub fn find(&self, number: u64) -> Option<usize> {
        // Usually the sequence numbers are consecutive.
        let first = self.entries.front()?.number;
        let guess = usize::try_from(number.checked_sub(first)?).ok()?;
        if self.entries.get(guess).is_some_and(|entry| entry.number == number) {
            return Some(guess);
        }
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok()
    }

    /// Whether a message was sent, as far as is known.
    pub(super) fn is_sent(&self, number: u64) -> bool {
        self.find(number).is_none_or(|position| self.entries[position].sent_at.is_some())
    }

    /// The sequence number to send with a message, and the floor below which nothing is
    /// outstanding.
    pub fn sequence(&self, number: u64) -> MessageSequence {
        let floor = self.entries.front().map_or(number, |entry| entry.number.min(number));
        MessageSequence { number, floor }
    }

    /// The position of the first entry that waits.
    pub(super) fn first_waiting(&mut self) -> Option<usize> {
        while let Some(entry) = self.entries.get(self.cursor) {
            if entry.stage == Stage::Waiting {
                return Some(self.cursor);
            }
            self.cursor += 1;
        }
        None
    }

    /// Whether the channel may send: it is open, no entry is being sent, and the recipient need not
    /// start it anew.
    pub(super) fn is_free(&self) -> bool {
        self.state == ChannelState::Open && self.transmission.is_none() && self.restart.is_none()
    }

    /// Adds an entry that was sent, to a channel in which nothing waits.
    pub fn add_sent(&mut self, entry: Entry) {
        if self.unanswered == 0
            && let Some(now) = entry.sent_at
        {
            self.last_contact = now;
        }
        self.next = entry.number + 1;
        self.sent_limit = self.next;
        self.outstanding += 1;
        self.unanswered += 1;
        self.in_flight += entry.in_flight;
        self.entries.push_back(entry);
        self.cursor = self.entries.len();
    }

    /// Marks an entry as being sent, by this transmission.
    pub fn start_sending(
        &mut self,
        position: usize,
        transmission: u64,
        link: LinkId,
        path: Arc<[Instance]>,
        now: Instant,
    ) {
        if self.unanswered == 0 {
            self.last_contact = now;
        }
        let entry = &mut self.entries[position];
        entry.stage = Stage::Sending;
        entry.sent_at = Some(now);
        self.sent_limit = self.sent_limit.max(entry.number + 1);
        entry.path = Some((link, path));
        self.cursor = position + 1;
        self.unanswered += 1;
        self.transmission = Some(transmission);
    }

    /// Records that bytes of an entry were sent; `mixed` if the source also sends small messages.
    pub fn add_in_flight(&mut self, position: usize, bytes: u64, mixed: bool, now: Instant) {
        self.entries[position].in_flight += bytes;
        self.in_flight += bytes;
        if let Some(congestion) = &mut self.congestion {
            congestion.sent(bytes, mixed, now);
        }
    }

    /// The largest chunk of a large message that the path carries in a short time.
    pub fn chunk_bytes(&self) -> usize {
        self.congestion.as_ref().map_or(CHUNK_BYTES, CongestionControl::chunk_bytes)
    }

    /// Whether the window has room.
    pub fn has_room(&self) -> bool {
        self.in_flight < self.congestion.as_ref().map_or(WINDOW_BYTES, CongestionControl::window)
    }

    /// Marks an entry as completely sent.
    pub fn finish_sending(&mut self, position: usize, now: Instant) {
        self.entries[position].stage = Stage::Sent;
        self.entries[position].sent_at = Some(now);
        self.transmission = None;
    }

    /// Records that bytes of an entry have arrived, after which `still_in_flight` are
    /// unacknowledged.
    pub fn acknowledge_bytes(&mut self, position: usize, still_in_flight: u64, now: Instant) {
        let entry = &mut self.entries[position];
        let freed = entry.in_flight.saturating_sub(still_in_flight);
        entry.in_flight -= freed;
        entry.sent_at = Some(now);
        self.in_flight -= freed;
        if freed > 0 {
            self.last_progress = now;
        }
        if let Some(congestion) = &mut self.congestion {
            congestion.acknowledged(self.in_flight, now);
        }
    }

    /// Stops counting an entry as in flight.
    fn take_out_of_flight(&mut self, position: usize) {
        let entry = &mut self.entries[position];
        if matches!(entry.stage, Stage::Sending | Stage::Sent) {
            self.unanswered -= 1;
            if entry.stage == Stage::Sending {
                self.transmission = None;
            }
        }
        self.in_flight -= entry.in_flight;
        entry.in_flight = 0;
        if let Some(congestion) = &mut self.congestion
            && self.in_flight == 0
        {
            congestion.discard_samples();
        }
    }

    /// Marks an entry as refused: the channel drains.
    pub fn refuse(&mut self, position: usize, refusal: Refusal) {
        self.take_out_of_flight(position);
        self.entries[position].stage = Stage::Refused(refusal);
        self.entries[position].last_refusal = Some(refusal);
        self.ready_received &= refusal != Refusal::Busy;
        self.state = match self.state {
            ChannelState::Open | ChannelState::Draining => ChannelState::Draining,
            ChannelState::Stalled(until) => ChannelState::Stalled(until),
        };
    }

    /// Marks an entry as done: its outcome is known.
    pub fn finish(&mut self, position: usize) {
        self.take_out_of_flight(position);
        self.entries[position].stage = Stage::Done;
        self.outstanding -= 1;
        if self.outstanding == 0 {
            // Nothing is left to settle, and no acknowledgement will arrive that resumes the
            // channel.
            self.state = ChannelState::Open;
        }
    }

    /// Removes the entries at the front that are done.
    pub fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.stage == Stage::Done) {
            self.entries.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    /// If everything sent is acknowledged or refused, decides how a draining channel continues.
    pub fn settle(&mut self, now: Instant) {
        if self.state != ChannelState::Draining || self.unanswered > 0 {
            return;
        }
        let must_wait = |refusal| match refusal {
            Refusal::Early => false,
            Refusal::Busy => !self.ready_received,
            Refusal::NoRoute | Refusal::TooLarge | Refusal::Stale => true,
        };
        let waits_for_room =
            |entry: &Entry| matches!(entry.stage, Stage::Refused(r) if must_wait(r));
        if self.entries.iter().any(waits_for_room) {
            self.state = ChannelState::Stalled(now + self.backoff);
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        } else {
            self.resume();
        }
    }

    /// Resumes from the first outstanding entry.
    pub fn resume(&mut self) {
        if self.unanswered > 0 {
            return;
        }
        for entry in &mut self.entries {
            if matches!(entry.stage, Stage::Refused(_)) {
                entry.stage = Stage::Waiting;
            }
        }
        self.state = ChannelState::Open;
        self.cursor = 0;
    }

    /// The receiver reported that it has room.
    pub fn receiver_ready(&mut self) {
        match self.state {
            ChannelState::Open => {}
            // Refusals that it sent before may still be in flight.
            ChannelState::Draining => self.ready_received = true,
            ChannelState::Stalled(_) => self.resume(),
        }
    }

    /// The receiver accepted something: it is no longer full.
    pub fn made_progress(&mut self, now: Instant) {
        self.last_contact = now;
        self.backoff = BACKOFF_MIN;
    }

    /// The first number from which on the recipient has certainly received nothing.
    pub fn undelivered_from(&self, epoch: u64) -> u64 {
        let may_be_delivered = |entry: &&Entry| match entry.stage {
            Stage::Sending | Stage::Sent => true,
            Stage::Waiting | Stage::Refused(_) => entry.is_uncertain(epoch),
            Stage::Done => false,
        };
        let last = self.entries.iter().rev().find(may_be_delivered);
        last.map_or(0, |entry| entry.number + 1).max(self.settled_limit)
    }

    /// Whether the recipient must answer.
    pub fn expects_answer(&self) -> bool {
        self.unanswered > 0 || self.restart.is_some()
    }

    /// When this channel next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.outstanding == 0 {
            return None;
        }
        let deadline = self
            .entries
            .iter()
            .filter(|entry| entry.stage != Stage::Done)
            .filter_map(|entry| entry.deadline)
            .min();
        let stalled = match self.state {
            ChannelState::Stalled(until) => Some(until),
            ChannelState::Open | ChannelState::Draining => None,
        };
        let query = self.expects_answer().then_some(self.last_contact + self.query_after);
        [deadline, stalled, query].into_iter().flatten().min()
    }
}
