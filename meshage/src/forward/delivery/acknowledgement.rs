//! How an outstanding send changes: by acknowledgements, refusals, new routes and deadlines.

use std::sync::Arc;
use std::time::Instant;

use super::channel_flow::{
    ChannelState, Entry, FLOOD_QUERY_AFTER, LOSS_CHECK_INTERVAL, QUERY_AFTER, Restart, Stage,
    UNANSWERED_MAX,
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
            self.acknowledged_by_other(ack);
            return;
        };
        let flow = &mut self.flows[flow_index];
        // A relay only refuses.
        let is_refusal = matches!(ack.verdict, Verdict::Refused { .. });
        if !(ack.by.is_some() && ack.by == flow.instance || ack.by.is_none() && is_refusal) {
            self.counters.not_recipient += 1;
            return;
        }
        let sent_limit = self.sent_limit(flow_index, ack.channel);
        let channel = &mut self.flows[flow_index].channels[ack.channel.index()];
        match ack.verdict {
            Verdict::Delivered { next }
                if next > channel.restart.map_or(sent_limit, |restart| restart.limit()) =>
            {
                self.runs_ahead(flow_index, ack.channel, next, now);
            }
            Verdict::Delivered { next } => {
                let restart = channel.restart.take();
                channel.made_progress(now);
                if restart.is_some_and(|restart| restart.leaves_unknown(next)) {
                    self.lose_before(flow_index, ack.channel, next);
                }
                self.delivered(flow_index, ack.channel, next, now);
            }
            Verdict::Refused { number, .. } | Verdict::Progress { number, .. }
                if number >= sent_limit || !(ack.channel.broadcast || channel.is_sent(number)) =>
            {
                self.counters.beyond_sent += 1;
                return;
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
                if !self.progressed(flow_index, ack.channel, number, received, now) {
                    self.counters.beyond_sent += 1;
                    return;
                }
            }
            Verdict::Ready => {
                for channel in Channel::ALL {
                    self.flows[flow_index].channels[channel.index()].receiver_ready();
                }
            }
            Verdict::Query | Verdict::Restart { .. } => {}
        }
        self.request_restart(flow_index, ack.channel, now);
        for channel in Channel::ALL {
            self.resume_channel(flow_index, channel, now);
        }
    }

    /// Handles an acknowledgement of a node to which nothing is outstanding. It may have received a
    /// forged message: then it must start the channel anew before this node sends to it.
    fn acknowledged_by_other(&mut self, ack: &AckEntry) {
        let limit = match ack.channel.broadcast {
            true => self.broadcasts[usize::from(ack.channel.large)].next,
            false => self.first_number(&ack.from, self.next_id + 1),
        };
        match (ack.verdict, ack.by) {
            (Verdict::Delivered { next }, Some(to)) if next > limit => {
                self.counters.restarts_requested += 1;
                let verdict = Verdict::Restart { claimed: next, limit };
                self.push_query(to, ack.channel, verdict);
            }
            // A broadcast also reaches nodes that joined after it was sent.
            _ => self.counters.not_recipient += u64::from(!ack.channel.broadcast),
        }
    }

    fn push_query(&mut self, to: Instance, channel: Channel, verdict: Verdict) {
        let (from, by) = (self.name.clone(), Some(self.instance));
        self.queries.push(AckEntry { to, from, by, channel, verdict, hops: 0 });
    }

    /// The first number that was not sent in a channel.
    fn sent_limit(&self, flow_index: usize, channel: Channel) -> u64 {
        if channel.broadcast {
            // A broadcast also reaches nodes to which it was not addressed.
            self.broadcasts[usize::from(channel.large)].next
        } else {
            self.flows[flow_index].channels[channel.index()].sent_limit
        }
    }

    /// Handles that some bytes of a large message have arrived. Returns whether it is that long.
    fn progressed(
        &mut self,
        flow_index: usize,
        channel: Channel,
        number: u64,
        received: u64,
        now: Instant,
    ) -> bool {
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        let Some(position) = flow.find(number) else { return true };
        let entry = &flow.entries[position];
        let Some(send) = self.sends.get(entry.send) else { return true };
        let total = send.content.body.len();
        if received > total as u64 {
            return false;
        }
        let offset = match entry.stage {
            Stage::Sent => Some(total),
            Stage::Sending => flow
                .transmission
                .and_then(|transmission| self.transmissions.get(&transmission))
                .map(|transmission| transmission.offset),
            Stage::Waiting | Stage::Refused(_) | Stage::Done => None,
        };
        flow.made_progress(now);
        if let Some(offset) = offset {
            // A copy that was sent before may have arrived up to a later byte.
            let in_flight = (offset as u64).saturating_sub(received);
            flow.acknowledge_bytes(position, in_flight, now);
        }
        true
    }

    /// Handles that a recipient expects a number that this node has not reached, because another
    /// node forged a message of this one. Nothing that the recipient acknowledges is true until it
    /// has started the channel anew.
    fn runs_ahead(&mut self, flow_index: usize, channel: Channel, claimed: u64, now: Instant) {
        let sent_limit = self.sent_limit(flow_index, channel);
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        let restart = flow.restart.get_or_insert_with(|| {
            self.counters.restarts_requested += 1;
            flow.last_contact = now;
            Restart { claimed, sent_limit, requested: None }
        });
        if restart.claimed != claimed {
            *restart = Restart { claimed, requested: None, ..*restart };
        }
        let due = flow.next_deadline();
        self.deadline = earliest(self.deadline, due);
    }

    /// Requests that a recipient starts a channel anew, once it has refused everything that was in
    /// flight: then it is certain what it has not received.
    fn request_restart(&mut self, flow_index: usize, channel: Channel, now: Instant) {
        let flow = &self.flows[flow_index].channels[channel.index()];
        let waits = flow.restart.is_some_and(|restart| restart.requested.is_none());
        if waits && flow.unanswered == 0 {
            self.ask(flow_index, channel, now);
        }
    }

    /// Ends the messages below a number, of which the recipient does not know whether it received
    /// them.
    fn lose_before(&mut self, flow_index: usize, channel: Channel, next: u64) {
        for position in 0..self.flows[flow_index].channels[channel.index()].entries.len() {
            let entry = &self.flows[flow_index].channels[channel.index()].entries[position];
            if entry.number < next && entry.stage != Stage::Done {
                self.resolve(flow_index, channel, position, Outcome::Lost);
            }
        }
    }

    /// Asks a recipient for its state, or to start a channel anew.
    fn ask(&mut self, flow_index: usize, channel: Channel, now: Instant) {
        let flow = &mut self.flows[flow_index];
        let channel_flow = &mut flow.channels[channel.index()];
        channel_flow.last_contact = now;
        let due = channel_flow.next_deadline();
        let limit = channel_flow.undelivered_from(self.epoch);
        let verdict = match &mut channel_flow.restart {
            Some(restart) => {
                restart.requested = Some(limit);
                Verdict::Restart { claimed: restart.claimed, limit }
            }
            None => Verdict::Query,
        };
        let Some(to) = flow.instance else {
            return;
        };
        self.deadline = earliest(self.deadline, due);
        self.push_query(to, channel, verdict);
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
                Some(entry)
                    if entry.number < next + u64::from(planted!(AcknowledgementCountsOneMore)) =>
                {
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
        // The recipient has refused an earlier message of the channel, so it refuses this one as well.
        // If that refusal does not arrive, it was lost.
        let draining = flow.state == ChannelState::Draining;
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
            } else if unanswered_copy || sent && draining && overdue(entry, QUERY_AFTER) {
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
        // The recipient cannot tell whether this message was delivered, because it expects a forged
        // number. This copy was not, and the next one will be once the channel starts anew.
        let restarts = flow.restart.is_some() && refusal == Refusal::Stale;
        let refusal = if restarts { Refusal::Early } else { refusal };
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
            self.flows[flow_index].set_instance(route.map(|route| route.instance));
            for channel in Channel::ALL {
                self.reroute(flow_index, channel, route.is_some(), same_instance);
            }
        }
        for flow_index in 0..self.flows.len() {
            let flow = &mut self.flows[flow_index];
            let route = self.fib.routes.route(flow.name.as_str());
            flow.set_instance(route.map(|route| route.instance));
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
        self.deadline = self.deadline.filter(|_| !planted!(SendTimerNotRearmed));
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
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        if flow.expects_answer() && now >= flow.last_contact + flow.query_after {
            self.ask(flow_index, channel, now);
        }
    }
}
