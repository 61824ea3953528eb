//! What is outstanding from this node to one other, channel by channel.
//!
//! ```text
//!                 refused (busy, early, …)              all that was sent is answered
//!   ┌──────┐ ───────────────────────────► ┌──────────┐ ─────────────────────────► ┌─────────┐
//!   │ open │                              │ draining │                            │ stalled │
//!   └──────┘ ◄─────────────────────────── └──────────┘                            └─────────┘
//!      ▲         only for coming early, or there is room since; or nothing is left     │
//!      └───────────────────────────────────────────────────────────────────────────────┘
//!                                after a pause, or when told that there is room
//! ```
//!
//! Order survives refusals because a channel that was refused sends nothing new until it knows what
//! became of all it has sent; then it starts again from the first that is still outstanding. A set
//! channel and the broadcast channel of the same size do so together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::congestion::CongestionControl;
use crate::message::Outcome;
use crate::name::{Instance, LinkId, NodeName};
use crate::wire::ack::Refusal;
use crate::wire::data::{Channel, MessageSequence};

/// How many unacknowledged bytes a channel of small messages has under way: 10 Gb/s over 3 ms. (Large
/// ones are [paced](super::congestion).)
pub const WINDOW_BYTES: u64 = 4 << 20;
/// What a message counts beside its body, so that empty ones are bounded too.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 128;
/// The first pause after a refusal; doubled each time, up to [`BACKOFF_MAX`]. Normally the receiver
/// says sooner that it has room.
pub const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// The longest pause after a refusal.
pub const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// Without an acknowledgement for this long the receiver is asked: one was lost, or is late.
pub const QUERY_AFTER: Duration = Duration::from_secs(1);
/// The same for a broadcast: while the mesh changes, a relay may follow another tree than its source
/// did, and leave somebody out without knowing it.
pub const FLOOD_QUERY_AFTER: Duration = Duration::from_millis(200);
/// How long routes must have stood before a broadcast counts as sent by routes that all agree on: far
/// longer than an announcement takes through a mesh and into its tables.
pub const ROUTES_STABLE_AFTER: Duration = Duration::from_secs(1);
/// How often acknowledgements make the source look for what was lost on the way.
pub const LOSS_CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// What a receiver that answers queries still has not got after this long will not arrive.
pub const UNANSWERED_MAX: Duration = Duration::from_secs(10);

/// How far a message has come on its way to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not sent, or to be sent again.
    Waiting,
    /// Being sent.
    Sending,
    /// Sent, not answered.
    Sent,
    /// Refused: certainly not delivered, to be sent again.
    Refused(Refusal),
    /// Its outcome is known.
    Done,
}

/// One message to one recipient.
#[derive(Debug)]
pub struct Entry {
    /// Its number in the channel.
    pub number: u64,
    /// The send it belongs to.
    pub send: u64,
    /// Its place among the recipients of that send.
    pub recipient: usize,
    /// How far it has come.
    pub stage: Stage,
    /// A copy may have reached the recipient though no acknowledgement says so.
    pub uncertain: bool,
    /// It goes with the copies of a broadcast, along the source's tree.
    pub flooded: bool,
    /// The number of the routes that its broadcast was flooded by; 0 where those had just changed.
    pub flood_epoch: Option<u64>,
    /// To be sent again even where a copy may have arrived.
    pub retry: bool,
    /// When its outcome is due.
    pub deadline: Option<Instant>,
    /// Why it was last refused.
    pub last_refusal: Option<Refusal>,
    /// Bytes of it in flight.
    pub in_flight: u64,
    /// When it was sent; while it is being sent, when it was begun or last known to arrive.
    pub sent_at: Option<Instant>,
    /// The link and the path it was sent over.
    pub path: Option<(LinkId, Arc<[Instance]>)>,
}

impl Entry {
    /// Whether a copy may be under way though all that is known of were refused. While routes change,
    /// nodes differ in their trees, and two copies of a broadcast may come to one of them.
    pub fn is_uncertain(&self, epoch: u64) -> bool {
        self.uncertain || self.flood_epoch.is_some_and(|flooded| flooded != epoch)
    }

    /// The outcome if it ends now, unanswered, by the routes of this number: `certain` where no copy
    /// can have arrived.
    pub fn outcome(&self, certain: Outcome, epoch: u64) -> Outcome {
        match self.stage {
            Stage::Sent => Outcome::Timeout,
            Stage::Waiting | Stage::Sending | Stage::Refused(_) | Stage::Done => {
                if self.is_uncertain(epoch) { Outcome::Timeout } else { certain }
            }
        }
    }
}

/// What a channel is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelState {
    /// Sending.
    Open,
    /// Something was refused: waiting for the answers to all that was sent.
    Draining,
    /// Waiting for room, until then.
    Stalled(Instant),
}

/// What is outstanding in one channel, by number.
#[derive(Debug)]
pub struct ChannelFlow {
    /// By ascending number; the first is never [`Stage::Done`].
    pub entries: VecDeque<Entry>,
    /// The number of the next message, where the channel counts its own.
    pub next: u64,
    /// What the channel is doing.
    pub state: ChannelState,
    /// Bytes in flight.
    pub in_flight: u64,
    /// How many entries are being sent or sent and not answered.
    pub unanswered: usize,
    /// How many entries are not done.
    pub outstanding: usize,
    /// How many of them there may be, where that is found out.
    congestion: Option<CongestionControl>,
    /// The transmission that is sending an entry of this channel.
    pub transmission: Option<u64>,
    /// All before this place are past [`Stage::Waiting`].
    pub cursor: usize,
    /// When the receiver was last heard or asked.
    pub last_contact: Instant,
    /// How long it may be silent before it is asked.
    pub query_after: Duration,
    /// When what was lost on the way was last looked for.
    pub last_loss_check: Instant,
    backoff: Duration,
    /// The receiver has said that there is room since it last refused for want of it.
    ready_received: bool,
}

impl ChannelFlow {
    fn new(channel: Channel, first: u64, now: Instant) -> Self {
        Self {
            entries: VecDeque::new(),
            next: first,
            state: ChannelState::Open,
            in_flight: 0,
            congestion: channel.large.then(CongestionControl::default),
            unanswered: 0,
            outstanding: 0,
            transmission: None,
            cursor: 0,
            last_contact: now,
            last_loss_check: now,
            query_after: if channel.broadcast { FLOOD_QUERY_AFTER } else { QUERY_AFTER },
            backoff: BACKOFF_MIN,
            ready_received: false,
        }
    }

    /// The place of a number.
    pub fn find(&self, number: u64) -> Option<usize> {
        // Mostly the numbers follow each other without a gap.
        let first = self.entries.front()?.number;
        let guess = usize::try_from(number.checked_sub(first)?).ok()?;
        if self.entries.get(guess).is_some_and(|entry| entry.number == number) {
            return Some(guess);
        }
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok()
    }

    /// The number below which nothing is outstanding, as told with message `number`.
    pub fn sequence(&self, number: u64) -> MessageSequence {
        let floor = self.entries.front().map_or(number, |entry| entry.number.min(number));
        MessageSequence { number, floor }
    }

    /// The place of the first entry that waits, of a channel that is open and not sending.
    fn first_waiting(&mut self) -> Option<usize> {
        while let Some(entry) = self.entries.get(self.cursor) {
            if entry.stage == Stage::Waiting {
                return Some(self.cursor);
            }
            self.cursor += 1;
        }
        None
    }

    /// Whether nothing of this channel has to be waited for before something is sent.
    fn is_free(&self) -> bool {
        self.state == ChannelState::Open && self.transmission.is_none()
    }

    /// Adds an entry that has been sent, in a channel where nothing waits.
    pub fn add_sent(&mut self, entry: Entry) {
        if self.unanswered == 0
            && let Some(now) = entry.sent_at
        {
            self.last_contact = now;
        }
        self.next = entry.number + 1;
        self.outstanding += 1;
        self.unanswered += 1;
        self.in_flight += entry.in_flight;
        self.entries.push_back(entry);
        self.cursor = self.entries.len();
    }

    /// An entry is being sent, by this transmission.
    pub fn start_sending(
        &mut self,
        at: usize,
        transmission: u64,
        link: LinkId,
        path: Arc<[Instance]>,
        now: Instant,
    ) {
        if self.unanswered == 0 {
            self.last_contact = now;
        }
        let entry = &mut self.entries[at];
        entry.stage = Stage::Sending;
        entry.sent_at = Some(now);
        entry.path = Some((link, path));
        self.cursor = at + 1;
        self.unanswered += 1;
        self.transmission = Some(transmission);
    }

    /// So many bytes of an entry went out, from a source that sends small messages beside or not.
    pub fn add_in_flight(&mut self, at: usize, bytes: u64, mixed: bool, now: Instant) {
        self.entries[at].in_flight += bytes;
        self.in_flight += bytes;
        if let Some(congestion) = &mut self.congestion {
            congestion.sent(bytes, mixed, now);
        }
    }

    /// Whether the window has room.
    pub fn has_room(&self) -> bool {
        self.in_flight < self.congestion.as_ref().map_or(WINDOW_BYTES, CongestionControl::window)
    }

    /// All of an entry went out.
    pub fn finish_sending(&mut self, at: usize, now: Instant) {
        self.entries[at].stage = Stage::Sent;
        self.entries[at].sent_at = Some(now);
        self.transmission = None;
    }

    /// So many bytes of an entry are known to have arrived, of `sent` in all.
    pub fn acknowledge_bytes(&mut self, at: usize, still_in_flight: u64, now: Instant) {
        let entry = &mut self.entries[at];
        let freed = entry.in_flight.saturating_sub(still_in_flight);
        entry.in_flight -= freed;
        entry.sent_at = Some(now);
        self.in_flight -= freed;
        if let Some(congestion) = &mut self.congestion {
            congestion.acknowledged(self.in_flight, now);
        }
    }

    /// Takes an entry out of flight.
    fn take_out_of_flight(&mut self, at: usize) {
        let entry = &mut self.entries[at];
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

    /// An entry was refused: the channel drains.
    pub fn refuse(&mut self, at: usize, refusal: Refusal) {
        self.take_out_of_flight(at);
        self.entries[at].stage = Stage::Refused(refusal);
        self.entries[at].last_refusal = Some(refusal);
        self.ready_received &= refusal != Refusal::Busy;
        self.state = match self.state {
            ChannelState::Open | ChannelState::Draining => ChannelState::Draining,
            ChannelState::Stalled(until) => ChannelState::Stalled(until),
        };
    }

    /// An entry's outcome is known.
    pub fn finish(&mut self, at: usize) {
        self.take_out_of_flight(at);
        self.entries[at].stage = Stage::Done;
        self.outstanding -= 1;
        if self.outstanding == 0 {
            // Nothing is left to settle, and nothing will come that says so.
            self.state = ChannelState::Open;
        }
    }

    /// Forgets what is done at the front.
    pub fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.stage == Stage::Done) {
            self.entries.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    /// If all that was sent is answered, decides how a draining channel goes on.
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

    /// Starts again from the first outstanding entry.
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

    /// The receiver says that there is room.
    pub fn receiver_ready(&mut self) {
        match self.state {
            ChannelState::Open => {}
            // What it refused before may still be on its way.
            ChannelState::Draining => self.ready_received = true,
            ChannelState::Stalled(_) => self.resume(),
        }
    }

    /// The receiver took something: it is not full any more.
    pub fn made_progress(&mut self, now: Instant) {
        self.last_contact = now;
        self.backoff = BACKOFF_MIN;
    }

    /// When something of this channel is due.
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
        let query = (self.unanswered > 0).then_some(self.last_contact + self.query_after);
        [deadline, stalled, query].into_iter().flatten().min()
    }
}

/// The way to a node, as routes have it.
#[derive(Debug)]
pub struct CachedRoute {
    /// The number of those routes.
    pub epoch: u64,
    /// The nodes on the way, and at its end.
    pub path: Arc<[Instance]>,
    /// The link to the first of them; `None` where there is no way.
    pub link: Option<LinkId>,
}

/// What is outstanding from this node to one other.
#[derive(Debug)]
pub struct Flow {
    /// The other.
    pub name: NodeName,
    /// The life of it that the channels speak to; `None` while it cannot be reached.
    pub instance: Option<Instance>,
    /// The way to it.
    pub route: CachedRoute,
    /// In the order of [`crate::wire::data::Channel::ALL`].
    pub channels: [ChannelFlow; 4],
}

impl Flow {
    /// A flow to a node, whose channels count from `first`: a number that no earlier flow to the same
    /// node has reached.
    pub fn new(name: NodeName, first: u64, now: Instant) -> Self {
        let channel = |channel| ChannelFlow::new(channel, first, now);
        let route = CachedRoute { epoch: 0, path: Arc::new([]), link: None };
        Self { name, instance: None, route, channels: Channel::ALL.map(channel) }
    }

    /// What a channel and its sibling may send next, if anything: the older first, and nothing as long
    /// as either has something to settle.
    pub fn next_sendable(&mut self, channel: Channel) -> Option<(Channel, usize)> {
        let (next, position) = self.next_in_order(channel)?;
        self.channels[next.index()].has_room().then_some((next, position))
    }

    /// The same, whether the window has room or not.
    pub fn next_in_order(&mut self, channel: Channel) -> Option<(Channel, usize)> {
        let next = [channel, channel.sibling()]
            .into_iter()
            .filter_map(|channel| {
                let flow = &mut self.channels[channel.index()];
                let position = flow.first_waiting()?;
                Some((flow.entries[position].send, channel, position))
            })
            .min_by_key(|(send, ..)| *send);
        let (_, next, position) = next?;
        let free = [channel, channel.sibling()]
            .iter()
            .all(|channel| self.channels[channel.index()].is_free());
        free.then_some((next, position))
    }

    /// Whether what is sent next in a channel goes at once: nothing waits in it nor in its sibling,
    /// nothing has to be settled, and the window has room.
    pub fn can_send_at_once(&mut self, channel: Channel) -> bool {
        let mut channels = [channel, channel.sibling()].into_iter();
        self.channels[channel.index()].has_room()
            && channels.all(|channel| {
                let channel = &mut self.channels[channel.index()];
                channel.is_free() && channel.first_waiting().is_none()
            })
    }

    /// The oldest send that is outstanding in a channel or its sibling, up to `send`.
    pub fn oldest(&self, channel: Channel, send: u64) -> u64 {
        [channel, channel.sibling()]
            .iter()
            .filter_map(|channel| self.channels[channel.index()].entries.front())
            .fold(send, |oldest, entry| oldest.min(entry.send))
    }

    /// Whether nothing is outstanding.
    pub fn is_idle(&self) -> bool {
        self.channels.iter().all(|channel| channel.outstanding == 0)
    }
}
