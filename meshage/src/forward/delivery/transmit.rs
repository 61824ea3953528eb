//! Sending: which transmissions a message needs, and how much of each the queues and windows
//! permit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use smallvec::{SmallVec, smallvec};

use super::channel_flow::MESSAGE_OVERHEAD_BYTES;
use super::congestion::SMALL_TRAFFIC_LASTS;
use super::outstanding::{OutstandingSends, add_to_flush, earliest};
use super::send_table::Content;
use super::transmission::{Destination, Transmission};
use crate::forward::outbound::{Class, Full};
use crate::name::LinkId;
use crate::wire::data::{
    CHUNK_BYTES, Channel, Chunk, DataHeader, MessageSequence, Target, TargetList, Targets,
};
use crate::wire::frame::FrameKind;

impl<C> OutstandingSends<C> {
    /// Sends a new message to all the recipients whose channels are free, in one transmission for
    /// each link and group. For the other recipients the message waits in its channel.
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
            let (destinations, waiting): (SmallVec<[Destination; 1]>, SmallVec<[Destination; 1]>) =
                all.into_iter().partition(|destination| {
                    overtakes |= !self.is_next_in_order(destination, content.channel);
                    self.is_next_sendable(destination, content.channel)
                });
            if destinations.is_empty() {
                continue;
            }
            if broadcast_number.is_some() && overtakes {
                // A flooded copy would also reach recipients that must first receive an older
                // message.
                self.send_by_name(id, content, link, &destinations, now);
                continue;
            }
            if broadcast_number.is_some() {
                // The copy also reaches the recipients behind the link whose windows are full.
                for destination in waiting {
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
                ..Transmission::new(id, content, link, group, destinations)
            };
            if let (Some(_), Some(send)) = (broadcast_number, self.sends.get_mut(id)) {
                send.flooded_at = Some(now);
            }
            self.start(transmission, content, now);
        }
    }

    /// Sends a broadcast over a link to these recipients only, each of them named in the header.
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

    /// Whether a message is the next that its channel may send now.
    fn is_next_sendable(&mut self, destination: &Destination, channel: Channel) -> bool {
        let flow = &mut self.flows[destination.flow];
        let position = flow.channels[channel.index()].find(destination.number);
        position.is_some() && flow.next_sendable(channel) == position.map(|at| (channel, at))
    }

    /// Whether no older message must be sent before this one, regardless of room in the window.
    fn is_next_in_order(&mut self, destination: &Destination, channel: Channel) -> bool {
        let flow = &mut self.flows[destination.flow];
        let position = flow.channels[channel.index()].find(destination.number);
        flow.next_in_order(channel) == position.map(|at| (channel, at))
    }

    /// Starts a transmission, and sends as much of it as the queue and the windows allow.
    fn start(&mut self, transmission: Transmission, content: &Content, now: Instant) {
        self.next_transmission += 1;
        let id = self.next_transmission;
        for destination in &transmission.destinations {
            let path = self.cached_route(destination.flow).path.clone();
            let channel = &mut self.flows[destination.flow].channels[transmission.channel.index()];
            if let Some(position) = channel.find(destination.number) {
                channel.start_sending(position, id, transmission.link, path, now);
                let entry = &mut channel.entries[position];
                entry.flooded = transmission.broadcast_number.is_some();
                // A recipient that leaves the transmission before it is sent still receives the
                // copy.
                entry.uncertain |= entry.flooded;
            }
            self.deadline =
                earliest(self.deadline, Some(channel.last_contact + channel.query_after));
        }
        // Channels that are free afterwards were free before, so no other message waits for them.
        let _ = self.transmit(id, transmission, content, now);
    }

    /// Continues a transmission as far as the queue and the windows allow. Returns the flows whose
    /// channels became free, once all of it is sent.
    fn advance(&mut self, id: u64, now: Instant) -> Option<(Channel, Vec<usize>)> {
        let mut transmission = self.transmissions.remove(&id)?;
        let content = self.sends.get(transmission.send).map(|send| send.content.clone())?;
        let channel = transmission.channel;
        let flows = &self.flows;
        transmission.destinations.retain(|destination| {
            flows[destination.flow].channels[channel.index()].transmission == Some(id)
        });
        if transmission.destinations.is_empty() {
            return None;
        }
        let free = transmission.destinations.iter().map(|destination| destination.flow).collect();
        self.transmit(id, transmission, &content, now).then_some((channel, free))
    }

    /// Continues a transmission. Stores it if it is not finished, and returns whether it is.
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
            if !transmission.destinations.iter().all(in_window) {
                break;
            }
            let Some(outbound) = self.fib.links.get(&transmission.link) else {
                break;
            };
            let chunk_bytes = if channel.large {
                let of_path = |destination: &Destination| {
                    self.flows[destination.flow].channels[channel.index()].chunk_bytes()
                };
                let of_paths = transmission.destinations.iter().map(of_path);
                of_paths.fold(outbound.chunk_bytes(), usize::min)
            } else {
                CHUNK_BYTES
            };
            let end = content.body.len().min(transmission.offset + chunk_bytes);
            let header = self.header(&transmission, content, transmission.offset..end);
            let class = if channel.large { Class::Large } else { Class::Small };
            // A short message that fits into the queue must not overtake a long one that did not
            // fit.
            let queue = (transmission.link, channel.large);
            let behind = self.blocked.get(&queue).is_some_and(|waiting| !waiting.is_empty());
            let body = content.body.slice(transmission.offset..end);
            let push =
                || outbound.push(class, FrameKind::Data, &body, |head| header.encode_into(head));
            let pushed = if transmission.blocked || behind { Err(Full) } else { push() };
            let Ok(idle) = pushed else {
                if !transmission.blocked {
                    transmission.blocked = true;
                    self.blocked.entry(queue).or_default().push_back(id);
                }
                break;
            };
            if idle {
                add_to_flush(&mut self.to_flush, outbound);
            }
            let bytes = (end - transmission.offset) as u64 + MESSAGE_OVERHEAD_BYTES;
            transmission.offset = end;
            finished = end == content.body.len();
            for destination in &transmission.destinations {
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

    /// Continues a transmission; when it is finished, sends the messages that waited for it.
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
                for destination in &transmission.destinations {
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

    /// Starts the messages that a channel and its sibling may send now.
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

    /// Drops a transmission that has no destinations left.
    pub(super) fn discard_if_unused(&mut self, transmission: Option<u64>, channel: Channel) {
        let Some((id, transmission)) =
            transmission.and_then(|id| Some((id, self.transmissions.get(&id)?)))
        else {
            return;
        };
        let is_used = |destination: &Destination| {
            self.flows[destination.flow].channels[channel.index()].transmission == Some(id)
        };
        if !transmission.destinations.iter().any(is_used) {
            self.transmissions.remove(&id);
        }
    }

    /// Handles that a link's queue has room again.
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
