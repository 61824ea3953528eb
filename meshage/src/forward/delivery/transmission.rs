//! Transmissions: a message on its way over one link, for all the recipients behind it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use smallvec::{SmallVec, smallvec};

use super::congestion::SMALL_TRAFFIC_LASTS;
use super::flow::MESSAGE_OVERHEAD_BYTES;
use super::send_table::Content;
use super::{OutstandingSends, add_to_flush, earliest};
use crate::forward::outbound::{Class, Full};
use crate::name::LinkId;
use crate::wire::data::{
    CHUNK_BYTES, Channel, Chunk, DataHeader, MessageSequence, Target, TargetList, Targets,
};
use crate::wire::frame::FrameKind;

/// One recipient of a transmission.
#[derive(Debug, Clone, Copy)]
struct Destination {
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
    send: u64,
    channel: Channel,
    link: LinkId,
    /// The number of a broadcast that goes to all behind the link.
    broadcast_number: Option<u64>,
    /// The recipients that its header names.
    group: Range<usize>,
    targets: SmallVec<[Destination; 1]>,
    /// How much of the body has gone.
    pub(super) offset: usize,
    /// It waits for room in the link's queue.
    blocked: bool,
}

impl Transmission {
    fn new(
        send: u64,
        content: &Content,
        link: LinkId,
        group: Range<usize>,
        targets: SmallVec<[Destination; 1]>,
    ) -> Self {
        let channel = content.channel;
        Self {
            send,
            channel,
            link,
            broadcast_number: None,
            group,
            targets,
            offset: 0,
            blocked: false,
        }
    }
}

impl<C> OutstandingSends<C> {
    /// Sends a new message to all the recipients whose channels are free, one transmission per link and group;
    /// for the others it waits in its channel.
    pub(super) fn start_transmissions(
        &mut self,
        id: u64,
        content: &Arc<Content>,
        broadcast_number: Option<u64>,
        now: Instant,
    ) {
        let Some(send) = self.sends.get(id) else {
            return;
        };
        if let (None, [Some((flow, number))]) = (broadcast_number, send.entries.as_slice()) {
            let destination = Destination { recipient: 0, flow: *flow, number: *number };
            if let Some(link) = self.cached_route(destination.flow).link
                && self.is_next_sendable(&destination, content.channel)
            {
                self.start(
                    Transmission::new(id, content, link, 0..1, smallvec![destination]),
                    content,
                    now,
                );
            }
            return;
        }
        let mut transmissions: BTreeMap<(LinkId, usize), Vec<Destination>> = BTreeMap::new();
        for (recipient, position) in send.entries.iter().enumerate() {
            let Some((flow, number)) = *position else {
                continue;
            };
            let name = &content.recipients[recipient];
            let Some(route) = self.fib.routes.route(name.as_str()) else {
                continue;
            };
            let group = if broadcast_number.is_some() { 0 } else { content.group(recipient) };
            transmissions.entry((route.link, group)).or_default().push(Destination {
                recipient,
                flow,
                number,
            });
        }
        for ((link, group), all) in transmissions {
            let mut overtakes = false;
            let (targets, held): (SmallVec<[Destination; 1]>, SmallVec<[Destination; 1]>) =
                all.into_iter().partition(|destination| {
                    overtakes |= !self.is_next_in_order(destination, content.channel);
                    self.is_next_sendable(destination, content.channel)
                });
            if targets.is_empty() {
                continue;
            }
            if broadcast_number.is_some() && overtakes {
                // The copy would reach those who are still to be sent something older.
                self.send_by_name(id, content, link, &targets, now);
                continue;
            }
            if broadcast_number.is_some() {
                // The copy reaches those behind the link whose windows are full, too.
                for destination in held {
                    let channel =
                        &mut self.flows[destination.flow].channels[content.channel.index()];
                    if let Some(position) = channel.find(destination.number) {
                        channel.entries[position].uncertain = true;
                    }
                }
            }
            let group = content.groups.get(group).cloned().unwrap_or(0..0);
            let transmission = Transmission {
                broadcast_number,
                ..Transmission::new(id, content, link, group, targets)
            };
            if let (Some(_), Some(send)) = (broadcast_number, self.sends.get_mut(id)) {
                send.flooded_at = Some(now);
            }
            self.start(transmission, content, now);
        }
    }

    /// Sends a broadcast over a link to these recipients alone, each named.
    fn send_by_name(
        &mut self,
        id: u64,
        content: &Content,
        link: LinkId,
        destinations: &[Destination],
        now: Instant,
    ) {
        for part in
            destinations.chunk_by(|a, b| content.group(a.recipient) == content.group(b.recipient))
        {
            let group = content.groups[content.group(part[0].recipient)].clone();
            let transmission =
                Transmission::new(id, content, link, group, part.iter().copied().collect());
            self.start(transmission, content, now);
        }
    }

    /// Whether a message is what its channel may send next.
    fn is_next_sendable(&mut self, destination: &Destination, channel: Channel) -> bool {
        let flow = &mut self.flows[destination.flow];
        let position = flow.channels[channel.index()].find(destination.number);
        position.is_some() && flow.next_sendable(channel) == position.map(|at| (channel, at))
    }

    /// Whether nothing older is to be sent before a message, be there room in the window or not.
    fn is_next_in_order(&mut self, destination: &Destination, channel: Channel) -> bool {
        let flow = &mut self.flows[destination.flow];
        let position = flow.channels[channel.index()].find(destination.number);
        flow.next_in_order(channel) == position.map(|at| (channel, at))
    }

    /// Starts a transmission, and sends as much of it as goes.
    fn start(&mut self, transmission: Transmission, content: &Content, now: Instant) {
        self.next_transmission += 1;
        let id = self.next_transmission;
        for destination in &transmission.targets {
            let path = self.cached_route(destination.flow).path.clone();
            let channel = &mut self.flows[destination.flow].channels[transmission.channel.index()];
            if let Some(position) = channel.find(destination.number) {
                channel.start_sending(position, id, transmission.link, path, now);
                let entry = &mut channel.entries[position];
                entry.flooded = transmission.broadcast_number.is_some();
                // Whoever drops out of the transmission before it goes gets the copy all the same.
                entry.uncertain |= entry.flooded;
            }
            self.deadline =
                earliest(self.deadline, Some(channel.last_contact + channel.query_after));
        }
        // Whose channels are free afterwards were free before: nothing waits behind it.
        let _ = self.transmit(id, transmission, content, now);
    }

    /// Sends on with a transmission as far as queues and windows let it; gives the flows whose channels are free
    /// once all of it is sent.
    fn advance(&mut self, id: u64, now: Instant) -> Option<(Channel, Vec<usize>)> {
        let mut transmission = self.transmissions.remove(&id)?;
        let content = self.sends.get(transmission.send).map(|send| send.content.clone())?;
        let channel = transmission.channel;
        let flows = &self.flows;
        transmission.targets.retain(|destination| {
            flows[destination.flow].channels[channel.index()].transmission == Some(id)
        });
        if transmission.targets.is_empty() {
            return None;
        }
        let free = transmission.targets.iter().map(|destination| destination.flow).collect();
        self.transmit(id, transmission, &content, now).then_some((channel, free))
    }

    /// Sends on with a transmission; keeps it if it is not finished, and says whether it is.
    fn transmit(
        &mut self,
        id: u64,
        mut transmission: Transmission,
        content: &Content,
        now: Instant,
    ) -> bool {
        let channel = transmission.channel;
        let mixed = self
            .last_small_at
            .is_some_and(|at| now.saturating_duration_since(at) < SMALL_TRAFFIC_LASTS);
        let mut finished = false;
        while !finished {
            let in_window = |destination: &Destination| {
                self.flows[destination.flow].channels[channel.index()].has_room()
            };
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
            let position = (transmission.link, channel.large);
            let behind = self.blocked.get(&position).is_some_and(|waiting| !waiting.is_empty());
            let body = content.body.slice(transmission.offset..end);
            let push =
                || outbound.push(class, FrameKind::Data, &body, |head| header.encode_into(head));
            let pushed = if transmission.blocked || behind { Err(Full) } else { push() };
            let Ok(idle) = pushed else {
                if !transmission.blocked {
                    transmission.blocked = true;
                    self.blocked.entry(position).or_default().push_back(id);
                }
                break;
            };
            if idle {
                add_to_flush(&mut self.to_flush, outbound);
            }
            let bytes = (end - transmission.offset) as u64 + MESSAGE_OVERHEAD_BYTES;
            transmission.offset = end;
            finished = end == content.body.len();
            for destination in &transmission.targets {
                let flow = &mut self.flows[destination.flow].channels[channel.index()];
                if let Some(position) = flow.find(destination.number) {
                    flow.add_in_flight(position, bytes, mixed, now);
                    if finished {
                        flow.entries[position].uncertain &= transmission.broadcast_number.is_none();
                        flow.finish_sending(position, now);
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
    pub(super) fn advance_and_send_waiting(&mut self, transmission: u64, now: Instant) {
        if let Some((channel, free)) = self.advance(transmission, now) {
            for flow_index in free {
                self.send_waiting(flow_index, channel, now);
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
        let targets = match transmission.broadcast_number {
            Some(number) => {
                let outstanding = &self.broadcasts[usize::from(channel.large)].outstanding;
                let floor = outstanding.keys().next().map_or(number, |floor| number.min(*floor));
                Targets::Flood(MessageSequence { number, floor })
            }
            None => {
                let mut list: TargetList = content.recipients[transmission.group.clone()]
                    .iter()
                    .map(|name| Target { name: name.clone(), sequence: None, oldest: 0 })
                    .collect();
                for destination in &transmission.targets {
                    let flow = &self.flows[destination.flow];
                    let target = &mut list[destination.recipient - transmission.group.start];
                    target.sequence =
                        Some(flow.channels[channel.index()].sequence(destination.number));
                    target.oldest = flow.oldest(channel, content.id);
                }
                Targets::List(list)
            }
        };
        let chunk = channel
            .large
            .then_some(Chunk { offset: part.start as u64, total: content.body.len() as u64 });
        DataHeader {
            source: self.name.clone(),
            instance: self.instance,
            id: content.id,
            channel,
            encoding: content.encoding.0,
            targets,
            chunk,
            route: self.name.clone().into(),
        }
    }

    /// Starts whatever a channel and its sibling may send now.
    pub(super) fn send_waiting(&mut self, flow_index: usize, channel: Channel, now: Instant) {
        loop {
            let Some(link) = self.cached_route(flow_index).link else {
                return;
            };
            let flow = &mut self.flows[flow_index];
            let Some((channel, position)) = flow.next_sendable(channel) else {
                return;
            };
            let entry = &flow.channels[channel.index()].entries[position];
            let (send, recipient, number) = (entry.send, entry.recipient, entry.number);
            let Some(content) = self.sends.get(send).map(|send| send.content.clone()) else {
                return;
            };
            let group = if channel.broadcast {
                recipient..recipient + 1
            } else {
                content.groups[content.group(recipient)].clone()
            };
            let destination = Destination { recipient, flow: flow_index, number };
            let transmission =
                Transmission::new(send, &content, link, group, smallvec![destination]);
            self.start(transmission, &content, now);
        }
    }

    /// Forgets a transmission that nobody is sent to any more.
    pub(super) fn discard_if_unused(&mut self, transmission: Option<u64>, channel: Channel) {
        let Some((id, transmission)) =
            transmission.and_then(|id| Some((id, self.transmissions.get(&id)?)))
        else {
            return;
        };
        let is_used = |destination: &Destination| {
            self.flows[destination.flow].channels[channel.index()].transmission == Some(id)
        };
        if !transmission.targets.iter().any(is_used) {
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
            self.advance_and_send_waiting(transmission, now);
        }
    }
}
