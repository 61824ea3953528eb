//! What becomes of what was sent: acknowledgements, refusals, new routes, deadlines.

use std::sync::Arc;
use std::time::Instant;

use super::flow::{ChannelState, Entry, FLOOD_QUERY_AFTER, SEARCH_EVERY, Stage, UNANSWERED_MAX};
use super::{OutstandingSends, earliest};
use crate::forward::plane::Fib;
use crate::message::Outcome;
use crate::name::Instance;
use crate::wire::ack::{AckEntry, Refusal, Verdict};
use crate::wire::data::Channel;

impl<C> OutstandingSends<C> {
    /// An acknowledgement for this node has come.
    pub(in crate::forward) fn acknowledged(&mut self, ack: &AckEntry, now: Instant) {
        let Some(&at) = self.by_name.get(&ack.from) else {
            return;
        };
        let flow = &mut self.flows[at];
        if ack.by.is_some() && ack.by != flow.instance {
            return;
        }
        let channel = &mut flow.channels[ack.channel.index()];
        match ack.verdict {
            Verdict::Delivered { next } => {
                channel.progressed(now);
                self.delivered(at, ack.channel, next, now);
            }
            Verdict::Refused { number, refusal } => {
                channel.heard = now;
                // While the mesh changes, relays may follow different trees: one that refuses a
                // broadcast for a node speaks for its own copy, and another may be on its way.
                if let (None, Some(place)) = (ack.by, channel.find(number)) {
                    let entry = &mut channel.entries[place];
                    entry.doubt |= entry.flooded;
                }
                self.refused(at, ack.channel, number, refusal, now);
            }
            Verdict::Progress { number, received } => {
                channel.progressed(now);
                if let Some(place) = channel.find(number) {
                    let entry = &channel.entries[place];
                    let offset = match entry.stage {
                        Stage::Sent => self.ops.get(entry.op).map(|op| op.content.body.len()),
                        Stage::Sending => channel
                            .transmission
                            .and_then(|transmission| self.transmissions.get(&transmission))
                            .map(|transmission| transmission.offset),
                        Stage::Waiting | Stage::Refused(_) | Stage::Done => None,
                    };
                    if let Some(offset) = offset {
                        channel.arrived(place, (offset as u64).saturating_sub(received), now);
                    }
                }
            }
            Verdict::Ready => {
                for channel in Channel::ALL {
                    self.flows[at].channels[channel.index()].ready();
                }
            }
            Verdict::Query => {}
        }
        for channel in Channel::ALL {
            self.go_on(at, channel, now);
        }
    }

    fn delivered(&mut self, at: usize, channel: Channel, next: u64, now: Instant) {
        loop {
            let flow = &mut self.flows[at].channels[channel.index()];
            flow.trim();
            match flow.entries.front() {
                Some(entry) if entry.number < next => {
                    self.resolve(at, channel, 0, Outcome::Delivered)
                }
                Some(_) => break,
                None => return,
            }
        }
        // What the receiver still waits for, long after it was sent, was lost on the way. A copy of a
        // broadcast may have had no way at all: it goes again, once, to this one alone.
        let flow = &mut self.flows[at].channels[channel.index()];
        if now.saturating_duration_since(flow.searched) < SEARCH_EVERY {
            return;
        }
        flow.searched = now;
        let late = |entry: &Entry, after| {
            entry.sent_at.is_some_and(|at| now.saturating_duration_since(at) >= after)
        };
        for place in 0..flow.entries.len() {
            let flow = &mut self.flows[at].channels[channel.index()];
            let entry = &mut flow.entries[place];
            let sent = entry.stage == Stage::Sent;
            let missed = entry.flooded && (sent || entry.stage == Stage::Sending);
            if sent && late(entry, UNANSWERED_MAX) {
                self.lose(at, channel, place);
            } else if missed && late(entry, FLOOD_QUERY_AFTER) {
                entry.doubt = true;
                entry.flooded = false;
                flow.refuse(place, Refusal::Early);
            }
        }
    }

    fn refused(
        &mut self,
        at: usize,
        channel: Channel,
        number: u64,
        refusal: Refusal,
        now: Instant,
    ) {
        let flow = &mut self.flows[at].channels[channel.index()];
        let Some(place) = flow.find(number) else {
            return;
        };
        let stage = flow.entries[place].stage;
        if !matches!(stage, Stage::Sent | Stage::Sending) {
            return;
        }
        match refusal {
            Refusal::TooLarge => self.resolve(at, channel, place, Outcome::TooLarge),
            Refusal::Stale => self.resolve(at, channel, place, Outcome::Lost),
            Refusal::Busy | Refusal::Early | Refusal::NoRoute => {
                let transmission = flow.transmission;
                flow.refuse(place, refusal);
                if refusal == Refusal::Early {
                    flow.heard = now;
                }
                self.let_go(transmission, channel);
            }
        }
    }

    /// Lets a channel go on after something changed.
    pub(super) fn go_on(&mut self, at: usize, channel: Channel, now: Instant) {
        let flow = &mut self.flows[at].channels[channel.index()];
        flow.trim();
        if flow.entries.is_empty() {
            flow.state = ChannelState::Open;
            // The sibling may have waited for this one.
            self.pump(at, channel, now);
            return;
        }
        flow.settle(now);
        if let ChannelState::Stalled(until) = flow.state {
            self.due = earliest(self.due, Some(until));
        }
        match self.flows[at].channels[channel.index()].transmission {
            Some(transmission) => self.advance_and_pump(transmission, now),
            None => self.pump(at, channel, now),
        }
    }

    /// What was in flight over what no longer stands: unknown, or sent again where that was asked.
    fn lose(&mut self, at: usize, channel: Channel, place: usize) {
        let flow = &mut self.flows[at].channels[channel.index()];
        let entry = &mut flow.entries[place];
        entry.doubt |= entry.stage == Stage::Sent;
        if entry.retry {
            let transmission = flow.transmission;
            flow.refuse(place, Refusal::Early);
            self.let_go(transmission, channel);
        } else {
            self.resolve(at, channel, place, Outcome::Lost);
        }
    }

    /// New routes: what was in flight over what no longer stands is lost, what has no way is told
    /// so, and what waited for a way goes.
    pub(in crate::forward) fn install(&mut self, fib: Arc<Fib>, now: Instant) {
        self.fib = fib;
        self.epoch += 1;
        self.changed = Some(now);
        let active: Vec<usize> = self.active.iter().copied().collect();
        for &at in &active {
            let route = self.fib.routes.route(self.flows[at].name.as_str());
            let same_life = route.map(|route| route.instance) == self.flows[at].instance;
            self.flows[at].instance = route.map(|route| route.instance);
            for channel in Channel::ALL {
                self.reroute(at, channel, route.is_some(), same_life);
            }
        }
        for at in 0..self.flows.len() {
            let flow = &mut self.flows[at];
            let route = self.fib.routes.route(flow.name.as_str());
            flow.instance = route.map(|route| route.instance);
            if route.is_none() && flow.is_idle() && self.by_name.get(&flow.name) == Some(&at) {
                self.by_name.remove(&self.flows[at].name);
                self.free.push(at);
            }
        }
        let fib = self.fib.clone();
        self.blocked.retain(|(link, _), _| fib.links.contains_key(link));
        // Those that have nothing outstanding any more as well: what ended is to be forgotten.
        for at in active {
            for channel in Channel::ALL {
                self.go_on(at, channel, now);
            }
        }
    }

    fn reroute(&mut self, at: usize, channel: Channel, reachable: bool, same_life: bool) {
        let fib = self.fib.clone();
        // Of a set every relay finds the way by itself. A broadcast follows the tree: a relay that
        // has the new one no longer passes on what was sent along the old one.
        let tree = (channel.broadcast && reachable).then(|| self.way(at).path.clone());
        let mut checked: Option<(*const [Instance], bool)> = None;
        let mut stands = |path: &Arc<[Instance]>| match checked {
            Some((known, verdict)) if std::ptr::eq(known, &raw const **path) => verdict,
            Some(_) | None => {
                let verdict = fib.routes.has_path(path);
                checked = Some((&raw const **path, verdict));
                verdict
            }
        };
        for place in 0..self.flows[at].channels[channel.index()].entries.len() {
            let entry = &self.flows[at].channels[channel.index()].entries[place];
            match entry.stage {
                Stage::Done => {}
                Stage::Sent | Stage::Sending => {
                    let whole = entry.path.as_ref().is_some_and(|(link, path)| {
                        self.fib.links.contains_key(link) && stands(path)
                    });
                    let moved = tree.as_ref().is_some_and(|tree| {
                        entry.path.as_ref().is_some_and(|(_, path)| path != tree)
                    });
                    if !(reachable && same_life && whole) {
                        self.lose(at, channel, place);
                    } else if moved {
                        // Nothing failed, so it is no retry: it goes again, to this one alone, and
                        // whoever has it already says so.
                        let flow = &mut self.flows[at].channels[channel.index()];
                        flow.entries[place].doubt = true;
                        flow.refuse(place, Refusal::Early);
                    }
                }
                Stage::Waiting | Stage::Refused(_) => {
                    if !reachable && !entry.retry {
                        let outcome = if entry.is_doubtful(self.epoch) {
                            Outcome::Lost
                        } else {
                            Outcome::NoRoute
                        };
                        self.resolve(at, channel, place, outcome);
                    }
                }
            }
        }
    }

    /// Does what is due: deadlines, the end of pauses, queries.
    pub(in crate::forward) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        for at in self.active.iter().copied().collect::<Vec<_>>() {
            for channel in Channel::ALL {
                if self.flows[at].channels[channel.index()].open > 0 {
                    self.expire(at, channel, now);
                    self.query(at, channel, now);
                    self.go_on(at, channel, now);
                    let due = self.flows[at].channels[channel.index()].due();
                    self.due = earliest(self.due, due);
                }
            }
        }
    }

    fn expire(&mut self, at: usize, channel: Channel, now: Instant) {
        let reachable = self.fib.routes.route(self.flows[at].name.as_str()).is_some();
        for place in 0..self.flows[at].channels[channel.index()].entries.len() {
            let entry = &self.flows[at].channels[channel.index()].entries[place];
            if entry.stage == Stage::Done || entry.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            let no_route = !reachable || entry.refused == Some(Refusal::NoRoute);
            let certain = if no_route { Outcome::NoRoute } else { Outcome::Busy };
            let unheard = entry.refused.is_none() && self.wanders(entry.op, now);
            let certain = if unheard { Outcome::Timeout } else { certain };
            let outcome = entry.outcome(certain, self.epoch);
            self.resolve(at, channel, place, outcome);
        }
        let flow = &mut self.flows[at].channels[channel.index()];
        if matches!(flow.state, ChannelState::Stalled(until) if until <= now) {
            flow.resume();
        }
    }

    /// Asks a receiver that has not been heard for long.
    fn query(&mut self, at: usize, channel: Channel, now: Instant) {
        let flow = &mut self.flows[at];
        let channel_flow = &mut flow.channels[channel.index()];
        if channel_flow.unanswered == 0 || now < channel_flow.heard + channel_flow.patience {
            return;
        }
        channel_flow.heard = now;
        let Some(to) = flow.instance else {
            return;
        };
        self.queries.push(AckEntry {
            to,
            from: self.me.clone(),
            by: Some(self.instance),
            channel,
            verdict: Verdict::Query,
            hops: 0,
        });
    }
}
