//! The fast path: a small message to one recipient that can be sent at once. Most sends are of this
//! kind.
//!
//! It does in one step what [`super::transmit`] does in several. All other sends take that path.

use std::sync::Arc;
use std::time::Instant;

use super::channel_flow::{Entry, MESSAGE_OVERHEAD_BYTES, Stage};
use super::outstanding::{OutstandingSends, add_to_flush, earliest};
use super::send_table::Content;
use crate::forward::outbound::Class;
use crate::wire::data::{Channel, HeaderRef, TargetsRef};
use crate::wire::frame::FrameKind;

const SMALL_SET: Channel = Channel { broadcast: false, large: false };

impl<C> OutstandingSends<C> {
    /// Sends to the only recipient, if its channel is free and the link's queue has room. Returns
    /// the flow and the sequence number of the entry that now waits for its acknowledgement.
    pub(super) fn send_at_once(
        &mut self,
        content: &Content,
        deadline: Option<Instant>,
        retry: bool,
        now: Instant,
    ) -> Option<(usize, u64)> {
        let [name] = content.recipients.as_slice() else { return None };
        if content.channel != SMALL_SET {
            return None;
        }
        let flow_index = *self.by_name.get(name)?;
        let link = self.cached_route(flow_index).link?;
        if self.blocked.get(&(link, SMALL_SET.large)).is_some_and(|waiting| !waiting.is_empty()) {
            return None;
        }
        let outbound = self.fib.links.get(&link)?;
        let flow = &mut self.flows[flow_index];
        let idle = flow.is_idle();
        if !flow.can_send_at_once(SMALL_SET) {
            return None;
        }
        let number = flow.channels[SMALL_SET.index()].next;
        let header = HeaderRef {
            source: &self.name,
            instance: self.instance,
            id: content.id,
            channel: SMALL_SET,
            encoding: content.encoding.0,
            targets: TargetsRef::One {
                name,
                sequence: flow.channels[SMALL_SET.index()].sequence(number),
                oldest: flow.oldest(SMALL_SET, content.id),
            },
            chunk: None,
            route: std::slice::from_ref(&self.name),
        };
        let write = |head: &mut Vec<u8>| header.encode_into(head);
        if outbound.push(Class::Small, FrameKind::Data, &content.body, write).ok()? {
            add_to_flush(&mut self.to_flush, outbound);
        }
        let bytes = content.body.len() as u64 + MESSAGE_OVERHEAD_BYTES;
        let path = Some((link, Arc::clone(&flow.route.path)));
        let channel = &mut flow.channels[SMALL_SET.index()];
        channel.add_sent(Entry {
            number,
            send: content.id,
            recipient: 0,
            stage: Stage::Sent,
            uncertain: false,
            flooded: false,
            flood_epoch: None,
            retry,
            deadline,
            last_refusal: None,
            in_flight: bytes,
            sent_at: Some(now),
            path,
        });
        if idle {
            self.active.insert(flow_index);
        }
        self.deadline = earliest(self.deadline, Some(channel.last_contact + channel.query_after));
        self.deadline = earliest(self.deadline, deadline);
        Some((flow_index, number))
    }
}
