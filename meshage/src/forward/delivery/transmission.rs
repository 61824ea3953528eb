//! Transmissions: a message on its way over one link, for all the recipients behind it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use smallvec::{SmallVec, smallvec};

use super::congestion::BESIDE_LASTS;
use super::flow::MESSAGE_OVERHEAD_BYTES;
use super::send_table::Content;
use super::{OutstandingSends, earliest, note_queued};
use crate::forward::outbound::{Class, Full};
use crate::name::LinkId;
use crate::wire::data::{
    CHUNK_BYTES, Channel, Chunk, DataHeader, MessageSequence, Target, TargetList, Targets,
};
use crate::wire::frame::FrameKind;

/// One recipient of a transmission.
#[derive(Debug, Clone, Copy)]
struct Aim {
    /// Its place among the recipients of the send.
    recipient: usize,
    /// Its flow.
    flow: usize,
    /// The message's number there.
    number: u64,
}

/// A message on its way over one link.
#[derive(Debug)]
pub(super) struct Transmission {
    op: u64,
    channel: Channel,
    link: LinkId,
    /// The number of a broadcast that goes to all behind the link.
    flood: Option<u64>,
    /// The recipients that its header names.
    group: Range<usize>,
    targets: SmallVec<[Aim; 1]>,
    /// How much of the body has gone.
    pub(super) offset: usize,
    /// It waits for room in the link's queue.
    blocked: bool,
}

impl Transmission {
    fn new(
        op: u64,
        content: &Content,
        link: LinkId,
        group: Range<usize>,
        targets: SmallVec<[Aim; 1]>,
    ) -> Self {
        let channel = content.channel;
        Self { op, channel, link, flood: None, group, targets, offset: 0, blocked: false }
    }
}

impl<C> OutstandingSends<C> {
    /// Sends a new message to all the recipients whose channels are free, one transmission per link and group;
    /// for the others it waits in its channel.
    pub(super) fn set_out(
        &mut self,
        id: u64,
        content: &Arc<Content>,
        flood: Option<u64>,
        now: Instant,
    ) {
        let Some(op) = self.ops.get(id) else {
            return;
        };
        if let (None, [Some((flow, number))]) = (flood, op.entries.as_slice()) {
            let aim = Aim { recipient: 0, flow: *flow, number: *number };
            if let Some(link) = self.way(aim.flow).link
                && self.is_next(&aim, content.channel)
            {
                self.depart(
                    Transmission::new(id, content, link, 0..1, smallvec![aim]),
                    content,
                    now,
                );
            }
            return;
        }
        let mut transmissions: BTreeMap<(LinkId, usize), Vec<Aim>> = BTreeMap::new();
        for (recipient, place) in op.entries.iter().enumerate() {
            let Some((flow, number)) = *place else {
                continue;
            };
            let name = &content.recipients[recipient];
            let Some(route) = self.fib.routes.route(name.as_str()) else {
                continue;
            };
            let group = if flood.is_some() { 0 } else { content.group(recipient) };
            transmissions.entry((route.link, group)).or_default().push(Aim {
                recipient,
                flow,
                number,
            });
        }
        for ((link, group), all) in transmissions {
            let mut overtakes = false;
            let (targets, held): (SmallVec<[Aim; 1]>, SmallVec<[Aim; 1]>) =
                all.into_iter().partition(|aim| {
                    overtakes |= !self.is_its_turn(aim, content.channel);
                    self.is_next(aim, content.channel)
                });
            if targets.is_empty() {
                continue;
            }
            if flood.is_some() && overtakes {
                // The copy would reach those who are still to be sent something older.
                self.name_all(id, content, link, &targets, now);
                continue;
            }
            if flood.is_some() {
                // The copy reaches those behind the link whose windows are full, too.
                for aim in held {
                    let channel = &mut self.flows[aim.flow].channels[content.channel.index()];
                    if let Some(place) = channel.find(aim.number) {
                        channel.entries[place].doubt = true;
                    }
                }
            }
            let group = content.groups.get(group).cloned().unwrap_or(0..0);
            let transmission =
                Transmission { flood, ..Transmission::new(id, content, link, group, targets) };
            if let (Some(_), Some(op)) = (flood, self.ops.get_mut(id)) {
                op.flooded_at = Some(now);
            }
            self.depart(transmission, content, now);
        }
    }

    /// Sends a broadcast over a link to these recipients alone, each named.
    fn name_all(&mut self, id: u64, content: &Content, link: LinkId, aims: &[Aim], now: Instant) {
        for part in aims.chunk_by(|a, b| content.group(a.recipient) == content.group(b.recipient)) {
            let group = content.groups[content.group(part[0].recipient)].clone();
            let transmission =
                Transmission::new(id, content, link, group, part.iter().copied().collect());
            self.depart(transmission, content, now);
        }
    }

    /// Whether a message is what its channel may send next.
    fn is_next(&mut self, aim: &Aim, channel: Channel) -> bool {
        let flow = &mut self.flows[aim.flow];
        let place = flow.channels[channel.index()].find(aim.number);
        place.is_some() && flow.ready(channel) == place.map(|at| (channel, at))
    }

    /// Whether nothing older is to be sent before a message, be there room in the window or not.
    fn is_its_turn(&mut self, aim: &Aim, channel: Channel) -> bool {
        let flow = &mut self.flows[aim.flow];
        let place = flow.channels[channel.index()].find(aim.number);
        flow.turn(channel) == place.map(|at| (channel, at))
    }

    /// Starts a transmission, and sends as much of it as goes.
    fn depart(&mut self, transmission: Transmission, content: &Content, now: Instant) {
        self.next_transmission += 1;
        let id = self.next_transmission;
        for aim in &transmission.targets {
            let path = self.way(aim.flow).path.clone();
            let channel = &mut self.flows[aim.flow].channels[transmission.channel.index()];
            if let Some(place) = channel.find(aim.number) {
                channel.begin(place, id, transmission.link, path, now);
                let entry = &mut channel.entries[place];
                entry.flooded = transmission.flood.is_some();
                // Whoever drops out of the transmission before it goes gets the copy all the same.
                entry.doubt |= entry.flooded;
            }
            self.due = earliest(self.due, Some(channel.heard + channel.patience));
        }
        // Whose channels are free afterwards were free before: nothing waits behind it.
        let _ = self.go(id, transmission, content, now);
    }

    /// Sends on with a transmission as far as queues and windows let it; gives the flows whose channels are free
    /// once all of it is sent.
    fn advance(&mut self, id: u64, now: Instant) -> Option<(Channel, Vec<usize>)> {
        let mut transmission = self.transmissions.remove(&id)?;
        let content = self.ops.get(transmission.op).map(|op| op.content.clone())?;
        let channel = transmission.channel;
        let flows = &self.flows;
        transmission
            .targets
            .retain(|aim| flows[aim.flow].channels[channel.index()].transmission == Some(id));
        if transmission.targets.is_empty() {
            return None;
        }
        let free = transmission.targets.iter().map(|aim| aim.flow).collect();
        self.go(id, transmission, &content, now).then_some((channel, free))
    }

    /// Sends on with a transmission; keeps it if it is not finished, and says whether it is.
    fn go(
        &mut self,
        id: u64,
        mut transmission: Transmission,
        content: &Content,
        now: Instant,
    ) -> bool {
        let channel = transmission.channel;
        let beside =
            self.small_at.is_some_and(|at| now.saturating_duration_since(at) < BESIDE_LASTS);
        let mut finished = false;
        while !finished {
            let in_window = |aim: &Aim| self.flows[aim.flow].channels[channel.index()].has_room();
            if !transmission.targets.iter().all(in_window) {
                break;
            }
            let end = content.body.len().min(transmission.offset + CHUNK_BYTES);
            let header = self.header(&transmission, content, transmission.offset..end);
            let Some(outbound) = self.fib.links.get(&transmission.link) else {
                break;
            };
            let class = if channel.large { Class::Large } else { Class::Small };
            // A short message that would find room does not overtake a long one that found none.
            let place = (transmission.link, channel.large);
            let behind = self.blocked.get(&place).is_some_and(|waiting| !waiting.is_empty());
            let body = content.body.slice(transmission.offset..end);
            let push =
                || outbound.push(class, FrameKind::Data, &body, |head| header.encode_into(head));
            let pushed = if transmission.blocked || behind { Err(Full) } else { push() };
            let Ok(idle) = pushed else {
                if !transmission.blocked {
                    transmission.blocked = true;
                    self.blocked.entry(place).or_default().push_back(id);
                }
                break;
            };
            if idle {
                note_queued(&mut self.queued, outbound);
            }
            let bytes = (end - transmission.offset) as u64 + MESSAGE_OVERHEAD_BYTES;
            transmission.offset = end;
            finished = end == content.body.len();
            for aim in &transmission.targets {
                let flow = &mut self.flows[aim.flow].channels[channel.index()];
                if let Some(place) = flow.find(aim.number) {
                    flow.sent_bytes(place, bytes, beside, now);
                    if finished {
                        flow.entries[place].doubt &= transmission.flood.is_none();
                        flow.sent(place, now);
                    }
                }
            }
        }
        if !finished {
            self.transmissions.insert(id, transmission);
        }
        finished
    }

    /// As [`OutstandingSends::advance`], and then what waits behind it.
    pub(super) fn advance_and_pump(&mut self, transmission: u64, now: Instant) {
        if let Some((channel, free)) = self.advance(transmission, now) {
            for at in free {
                self.pump(at, channel, now);
            }
        }
    }

    fn header(
        &self,
        transmission: &Transmission,
        content: &Content,
        part: Range<usize>,
    ) -> DataHeader {
        let channel = content.channel;
        let targets = match transmission.flood {
            Some(number) => {
                let open = &self.floods[usize::from(channel.large)].open;
                let floor = open.keys().next().map_or(number, |floor| number.min(*floor));
                Targets::Flood(MessageSequence { number, floor })
            }
            None => {
                let mut list: TargetList = content.recipients[transmission.group.clone()]
                    .iter()
                    .map(|name| Target { name: name.clone(), sequence: None, oldest: 0 })
                    .collect();
                for aim in &transmission.targets {
                    let flow = &self.flows[aim.flow];
                    let target = &mut list[aim.recipient - transmission.group.start];
                    target.sequence = Some(flow.channels[channel.index()].sequence(aim.number));
                    target.oldest = flow.oldest(channel, content.id);
                }
                Targets::List(list)
            }
        };
        let chunk = channel
            .large
            .then_some(Chunk { offset: part.start as u64, total: content.body.len() as u64 });
        DataHeader {
            source: self.me.clone(),
            instance: self.instance,
            id: content.id,
            channel,
            encoding: content.encoding.0,
            targets,
            chunk,
            route: self.me.clone().into(),
        }
    }

    /// Starts whatever a channel and its sibling may send now.
    pub(super) fn pump(&mut self, at: usize, channel: Channel, now: Instant) {
        loop {
            let Some(link) = self.way(at).link else {
                return;
            };
            let flow = &mut self.flows[at];
            let Some((channel, place)) = flow.ready(channel) else {
                return;
            };
            let entry = &flow.channels[channel.index()].entries[place];
            let (op, recipient, number) = (entry.op, entry.recipient, entry.number);
            let Some(content) = self.ops.get(op).map(|op| op.content.clone()) else {
                return;
            };
            let group = if channel.broadcast {
                recipient..recipient + 1
            } else {
                content.groups[content.group(recipient)].clone()
            };
            let aim = Aim { recipient, flow: at, number };
            let transmission = Transmission::new(op, &content, link, group, smallvec![aim]);
            self.depart(transmission, &content, now);
        }
    }

    /// Forgets a transmission that nobody is sent to any more.
    pub(super) fn let_go(&mut self, transmission: Option<u64>, channel: Channel) {
        let Some((id, transmission)) =
            transmission.and_then(|id| Some((id, self.transmissions.get(&id)?)))
        else {
            return;
        };
        let goes_on =
            |aim: &Aim| self.flows[aim.flow].channels[channel.index()].transmission == Some(id);
        if !transmission.targets.iter().any(goes_on) {
            self.transmissions.remove(&id);
        }
    }

    /// A link's queue has room again.
    pub(in crate::forward) fn writable(&mut self, link: LinkId, now: Instant) {
        let waiting: Vec<u64> = [false, true]
            .iter()
            .filter_map(|large| self.blocked.remove(&(link, *large)))
            .flatten()
            .collect();
        for transmission in &waiting {
            if let Some(transmission) = self.transmissions.get_mut(transmission) {
                transmission.blocked = false;
            }
        }
        for transmission in waiting {
            self.advance_and_pump(transmission, now);
        }
    }
}
