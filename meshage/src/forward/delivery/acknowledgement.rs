//! How an outstanding send changes: by acknowledgements, refusals, new routes and deadlines.

use std::sync::Arc;
use std::time::Instant;

use super::channel_flow::{
    ChannelState, Entry, FLOOD_QUERY_AFTER, LOSS_CHECK_INTERVAL, Stage, UNANSWERED_MAX,
};
use super::outstanding::{OutstandingSends, earliest};
use crate::forward::fib::Fib;
use crate::message::Outcome;
use crate::name::Instance;
use crate::wire::ack::{AckEntry, Refusal, Verdict};
use crate::wire::data::Channel;

impl<C> OutstandingSends<C> {
    /// Handles an acknowledgement for this node.
    pub(in crate::forward) fn acknowledged(&mut self, ack: &AckEntry, now: Instant) {
        let Some(&flow_index) = self.by_name.get(&ack.from) else {
            return;
        };
        let flow = &mut self.flows[flow_index];
        if ack.by.is_some() && ack.by != flow.instance {
            return;
        }
        let channel = &mut flow.channels[ack.channel.index()];
        match ack.verdict {
            Verdict::Delivered { next } => {
                channel.made_progress(now);
                self.delivered(flow_index, ack.channel, next, now);
            }
            Verdict::Refused { number, refusal } => {
                channel.last_contact = now;
                // While routes change, relays may follow different trees. A relay that refuses a
                // broadcast refuses its own copy only; another copy may be in flight.
                if let (None, Some(position)) = (ack.by, channel.find(number)) {
                    let entry = &mut channel.entries[position];
                    entry.uncertain |= entry.flooded;
                }
                self.refused(flow_index, ack.channel, number, refusal, now);
            }
            Verdict::Progress { number, received } => {
                channel.made_progress(now);
                if let Some(position) = channel.find(number) {
                    let entry = &channel.entries[position];
                    let offset = match entry.stage {
                        Stage::Sent => {
                            self.sends.get(entry.send).map(|send| send.content.body.len())
                        }
                        Stage::Sending => channel
                            .transmission
                            .and_then(|transmission| self.transmissions.get(&transmission))
                            .map(|transmission| transmission.offset),
                        Stage::Waiting | Stage::Refused(_) | Stage::Done => None,
                    };
                    if let Some(offset) = offset {
                        channel.acknowledge_bytes(
                            position,
                            (offset as u64).saturating_sub(received),
                            now,
                        );
                    }
                }
            }
            Verdict::Ready => {
                for channel in Channel::ALL {
                    self.flows[flow_index].channels[channel.index()].receiver_ready();
                }
            }
            Verdict::Query => {}
        }
        for channel in Channel::ALL {
            self.resume_channel(flow_index, channel, now);
        }
    }

    fn delivered(&mut self, flow_index: usize, channel: Channel, next: u64, now: Instant) {
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        if flow.entries.front().is_some_and(|entry| entry.number < next) {
            flow.last_progress = now;
        }
        loop {
            let flow = &mut self.flows[flow_index].channels[channel.index()];
            flow.trim();
            match flow.entries.front() {
                Some(entry) if entry.number < next => {
                    self.resolve(flow_index, channel, 0, Outcome::Delivered)
                }
                Some(_) => break,
                None => return,
            }
        }
        // A message that the receiver still waits for, long after it was sent, was lost. A
        // broadcast may not have been forwarded at all: it is resent once, to this recipient only.
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        if now.saturating_duration_since(flow.last_loss_check) < LOSS_CHECK_INTERVAL {
            return;
        }
        flow.last_loss_check = now;
        let overdue = |entry: &Entry, after| {
            entry.sent_at.is_some_and(|at| now.saturating_duration_since(at) >= after)
        };
        let progressing = now.saturating_duration_since(flow.last_progress) < UNANSWERED_MAX;
        for position in 0..flow.entries.len() {
            let flow = &mut self.flows[flow_index].channels[channel.index()];
            let entry = &mut flow.entries[position];
            let is_queueing = |entry: &Entry| {
                entry.path.as_ref().is_some_and(|(link, _)| self.fib.is_queueing(*link))
            };
            if !overdue(entry, FLOOD_QUERY_AFTER) || is_queueing(entry) {
                continue;
            }
            let sent = entry.stage == Stage::Sent;
            let unanswered_copy = entry.flooded && (sent || entry.stage == Stage::Sending);
            if sent && !progressing && overdue(entry, UNANSWERED_MAX) {
                self.mark_lost(flow_index, channel, position);
            } else if unanswered_copy && overdue(entry, FLOOD_QUERY_AFTER) {
                entry.uncertain = true;
                entry.flooded = false;
                flow.refuse(position, Refusal::Early);
            }
        }
    }

    fn refused(
        &mut self,
        flow_index: usize,
        channel: Channel,
        number: u64,
        refusal: Refusal,
        now: Instant,
    ) {
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        let Some(position) = flow.find(number) else {
            return;
        };
        let stage = flow.entries[position].stage;
        if !matches!(stage, Stage::Sent | Stage::Sending) {
            return;
        }
        match refusal {
            Refusal::TooLarge => self.resolve(flow_index, channel, position, Outcome::TooLarge),
            Refusal::Stale => self.resolve(flow_index, channel, position, Outcome::Lost),
            Refusal::Busy | Refusal::Early | Refusal::NoRoute => {
                let transmission = flow.transmission;
                flow.refuse(position, refusal);
                if refusal == Refusal::Early {
                    flow.last_contact = now;
                }
                self.discard_if_unused(transmission, channel);
            }
        }
    }

    /// Lets a channel continue after something changed.
    pub(super) fn resume_channel(&mut self, flow_index: usize, channel: Channel, now: Instant) {
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        flow.trim();
        if flow.entries.is_empty() {
            flow.state = ChannelState::Open;
            // The sibling channel may have waited for this one.
            self.send_waiting(flow_index, channel, now);
            return;
        }
        flow.settle(now);
        if let ChannelState::Stalled(until) = flow.state {
            self.deadline = earliest(self.deadline, Some(until));
        }
        match self.flows[flow_index].channels[channel.index()].transmission {
            Some(transmission) => self.advance_and_send_waiting(transmission, now),
            None => self.send_waiting(flow_index, channel, now),
        }
    }

    /// Handles that an entry was in flight over a route that no longer exists: its outcome is
    /// unknown, or it is resent if the caller asked for retries.
    fn mark_lost(&mut self, flow_index: usize, channel: Channel, position: usize) {
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        let entry = &mut flow.entries[position];
        entry.uncertain |= entry.stage == Stage::Sent;
        if entry.retry {
            let transmission = flow.transmission;
            flow.refuse(position, Refusal::Early);
            self.discard_if_unused(transmission, channel);
        } else {
            self.resolve(flow_index, channel, position, Outcome::Lost);
        }
    }

    /// Installs new routes. Messages in flight over routes that no longer exist are lost. Messages
    /// to recipients without a route get their outcome. Messages that waited for a route are sent.
    pub(in crate::forward) fn install(&mut self, fib: Arc<Fib>, now: Instant) {
        self.fib = fib;
        self.epoch += 1;
        self.routes_changed_at = Some(now);
        let active: Vec<usize> = self.active.iter().copied().collect();
        for &flow_index in &active {
            let route = self.fib.routes.route(self.flows[flow_index].name.as_str());
            let same_instance =
                route.map(|route| route.instance) == self.flows[flow_index].instance;
            self.flows[flow_index].instance = route.map(|route| route.instance);
            for channel in Channel::ALL {
                self.reroute(flow_index, channel, route.is_some(), same_instance);
            }
        }
        for flow_index in 0..self.flows.len() {
            let flow = &mut self.flows[flow_index];
            let route = self.fib.routes.route(flow.name.as_str());
            flow.instance = route.map(|route| route.instance);
            if route.is_none()
                && flow.is_idle()
                && self.by_name.get(&flow.name) == Some(&flow_index)
            {
                self.by_name.remove(&self.flows[flow_index].name);
                self.free.push(flow_index);
            }
        }
        let fib = self.fib.clone();
        self.blocked.retain(|(link, _), _| fib.links.contains_key(link));
        // This includes flows with nothing outstanding any more: their completed entries are
        // removed.
        for flow_index in active {
            for channel in Channel::ALL {
                self.resume_channel(flow_index, channel, now);
            }
        }
    }

    /// Completes what waits for a route, because the node closes and will not find one. Nothing of
    /// it was sent, so the outcome is certain.
    pub(in crate::forward) fn stop_waiting_for_routes(&mut self, now: Instant) {
        for flow_index in self.active.iter().copied().collect::<Vec<_>>() {
            if self.cached_route(flow_index).link.is_some() {
                continue;
            }
            for channel in Channel::ALL {
                let flow = &mut self.flows[flow_index].channels[channel.index()];
                flow.entries.iter_mut().for_each(|entry| entry.retry = false);
                self.reroute(flow_index, channel, false, false);
                self.resume_channel(flow_index, channel, now);
            }
        }
    }

    fn reroute(
        &mut self,
        flow_index: usize,
        channel: Channel,
        reachable: bool,
        same_instance: bool,
    ) {
        let fib = self.fib.clone();
        // For a set, every relay finds a route by itself. A broadcast follows the tree: a relay
        // that has the new tree does not forward what was sent along the old one.
        let tree =
            (channel.broadcast && reachable).then(|| self.cached_route(flow_index).path.clone());
        let mut checked: Option<(*const [Instance], bool)> = None;
        let mut has_path = |path: &Arc<[Instance]>| match checked {
            Some((known, verdict)) if std::ptr::eq(known, &raw const **path) => verdict,
            Some(_) | None => {
                let verdict = fib.routes.has_path(path);
                checked = Some((&raw const **path, verdict));
                verdict
            }
        };
        for position in 0..self.flows[flow_index].channels[channel.index()].entries.len() {
            let entry = &self.flows[flow_index].channels[channel.index()].entries[position];
            match entry.stage {
                Stage::Done => {}
                Stage::Sent | Stage::Sending => {
                    let path_intact = entry.path.as_ref().is_some_and(|(link, path)| {
                        self.fib.links.contains_key(link) && has_path(path)
                    });
                    let tree_changed = tree.as_ref().is_some_and(|tree| {
                        entry.path.as_ref().is_some_and(|(_, path)| path != tree)
                    });
                    if !(reachable && same_instance && path_intact) {
                        self.mark_lost(flow_index, channel, position);
                    } else if tree_changed {
                        // Nothing failed, so this is not a retry. It is resent to this recipient
                        // only. A recipient that has it already acknowledges it again.
                        let flow = &mut self.flows[flow_index].channels[channel.index()];
                        flow.entries[position].uncertain = true;
                        flow.refuse(position, Refusal::Early);
                    }
                }
                Stage::Waiting | Stage::Refused(_) => {
                    if !reachable && !entry.retry {
                        let outcome = if entry.is_uncertain(self.epoch) {
                            Outcome::Lost
                        } else {
                            Outcome::NoRoute
                        };
                        self.resolve(flow_index, channel, position, outcome);
                    }
                }
            }
        }
    }

    /// Handles what is due by now: deadlines of sends, ends of back-offs, and queries.
    pub(in crate::forward) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|due| now < due) {
            return;
        }
        self.deadline = None;
        for flow_index in self.active.iter().copied().collect::<Vec<_>>() {
            for channel in Channel::ALL {
                if self.flows[flow_index].channels[channel.index()].outstanding > 0 {
                    self.expire(flow_index, channel, now);
                    self.query(flow_index, channel, now);
                    self.resume_channel(flow_index, channel, now);
                    let due = self.flows[flow_index].channels[channel.index()].next_deadline();
                    self.deadline = earliest(self.deadline, due);
                }
            }
        }
    }

    fn expire(&mut self, flow_index: usize, channel: Channel, now: Instant) {
        let reachable = self.fib.routes.route(self.flows[flow_index].name.as_str()).is_some();
        for position in 0..self.flows[flow_index].channels[channel.index()].entries.len() {
            let entry = &self.flows[flow_index].channels[channel.index()].entries[position];
            if entry.stage == Stage::Done || entry.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            let no_route = !reachable || entry.last_refusal == Some(Refusal::NoRoute);
            let certain = if no_route { Outcome::NoRoute } else { Outcome::Busy };
            let copy_pending =
                entry.last_refusal.is_none() && self.flooded_recently(entry.send, now);
            let certain = if copy_pending { Outcome::Timeout } else { certain };
            let outcome = entry.outcome(certain, self.epoch);
            self.resolve(flow_index, channel, position, outcome);
        }
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        if matches!(flow.state, ChannelState::Stalled(until) if until <= now) {
            flow.resume();
        }
    }

    /// Queries a receiver that has not answered for too long.
    fn query(&mut self, flow_index: usize, channel: Channel, now: Instant) {
        let flow = &mut self.flows[flow_index];
        let channel_flow = &mut flow.channels[channel.index()];
        if channel_flow.unanswered == 0
            || now < channel_flow.last_contact + channel_flow.query_after
        {
            return;
        }
        channel_flow.last_contact = now;
        let Some(to) = flow.instance else {
            return;
        };
        self.queries.push(AckEntry {
            to,
            from: self.name.clone(),
            by: Some(self.instance),
            channel,
            verdict: Verdict::Query,
            hops: 0,
        });
    }
}
