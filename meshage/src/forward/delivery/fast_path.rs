//! A small message to one recipient, where nothing has to be waited for: what most sends are.
//!
//! It does at once what [`super::transmission`] does step by step, and leaves to it what it cannot.

use std::sync::Arc;
use std::time::Instant;

use super::flow::{Entry, MESSAGE_OVERHEAD_BYTES, Stage};
use super::send_table::Content;
use super::{OutstandingSends, earliest, note_queued};
use crate::forward::outbound::Class;
use crate::wire::data::{Channel, HeaderRef, TargetsRef};
use crate::wire::frame::FrameKind;

const LANE: Channel = Channel { broadcast: false, large: false };

impl<C> OutstandingSends<C> {
    /// Sends to the only recipient if its channel is free and the link takes it; gives the place of the
    /// entry that waits for the answer.
    pub(super) fn send_at_once(
        &mut self,
        content: &Content,
        deadline: Option<Instant>,
        retry: bool,
        now: Instant,
    ) -> Option<(usize, u64)> {
        let [name] = content.recipients.as_slice() else { return None };
        if content.channel != LANE {
            return None;
        }
        let at = *self.by_name.get(name)?;
        let link = self.way(at).link?;
        if self.blocked.get(&(link, LANE.large)).is_some_and(|waiting| !waiting.is_empty()) {
            return None;
        }
        let outbound = self.fib.links.get(&link)?;
        let flow = &mut self.flows[at];
        let idle = flow.is_idle();
        if !flow.is_free(LANE) {
            return None;
        }
        let number = flow.channels[LANE.index()].next;
        let heading = HeaderRef {
            source: &self.me,
            instance: self.instance,
            id: content.id,
            channel: LANE,
            encoding: content.encoding.0,
            targets: TargetsRef::One {
                name,
                sequence: flow.channels[LANE.index()].sequence(number),
                oldest: flow.oldest(LANE, content.id),
            },
            chunk: None,
            route: std::slice::from_ref(&self.me),
        };
        let write = |head: &mut Vec<u8>| heading.encode_into(head);
        if outbound.push(Class::Small, FrameKind::Data, &content.body, write).ok()? {
            note_queued(&mut self.queued, outbound);
        }
        let bytes = content.body.len() as u64 + MESSAGE_OVERHEAD_BYTES;
        let path = Some((link, Arc::clone(&flow.way.path)));
        let channel = &mut flow.channels[LANE.index()];
        channel.add_sent(Entry {
            number,
            op: content.id,
            recipient: 0,
            stage: Stage::Sent,
            doubt: false,
            flooded: false,
            flood_epoch: None,
            retry,
            deadline,
            refused: None,
            in_flight: bytes,
            sent_at: Some(now),
            path,
        });
        if idle {
            self.active.insert(at);
        }
        self.due = earliest(self.due, Some(channel.heard + channel.patience));
        self.due = earliest(self.due, deadline);
        Some((at, number))
    }
}
