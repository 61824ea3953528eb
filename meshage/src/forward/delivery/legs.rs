//! Legs: a message on its way over one link, for all the recipients behind it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::flow::MESSAGE_OVERHEAD_BYTES;
use super::{Content, Sends, earliest};
use crate::forward::outbound::Class;
use crate::name::{Instance, LinkId};
use crate::wire::data::{CHUNK_BYTES, Chunk, DataFrame, DataHeader, Lane, Slot, Target, Targets};

/// One recipient of a leg.
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
pub(super) struct Leg {
    op: u64,
    lane: Lane,
    link: LinkId,
    /// The number of a broadcast that goes to all behind the link.
    flood: Option<u64>,
    /// The recipients that its header names.
    group: Range<usize>,
    targets: Vec<Aim>,
    /// How much of the body has gone.
    pub(super) offset: usize,
    /// It waits for room in the link's queue.
    blocked: bool,
}

impl<C> Sends<C> {
    /// Sends a new message to all the recipients whose lanes are free, one leg per link and group;
    /// for the others it waits in its lane.
    pub(super) fn set_out(
        &mut self,
        id: u64,
        content: &Arc<Content>,
        flood: Option<u64>,
        now: Instant,
    ) {
        let Some(op) = self.ops.get(&id) else {
            return;
        };
        let mut legs: BTreeMap<(LinkId, usize), Vec<Aim>> = BTreeMap::new();
        for (recipient, place) in op.entries.iter().enumerate() {
            let Some((flow, number)) = *place else {
                continue;
            };
            let name = &content.recipients[recipient];
            let Some(route) = self.fib.routes.route(name.as_str()) else {
                continue;
            };
            let group = if flood.is_some() { 0 } else { content.group(recipient) };
            legs.entry((route.link, group)).or_default().push(Aim { recipient, flow, number });
        }
        for ((link, group), all) in legs {
            let (targets, held): (Vec<Aim>, Vec<Aim>) = all.into_iter().partition(|aim| {
                let flow = &mut self.flows[aim.flow];
                let place = flow.lanes[content.lane.index()].find(aim.number);
                place.is_some() && flow.ready(content.lane) == place.map(|at| (content.lane, at))
            });
            if targets.is_empty() {
                continue;
            }
            if flood.is_some() {
                // The copy reaches those behind the link whose lanes are not free, too.
                for aim in held {
                    let lane = &mut self.flows[aim.flow].lanes[content.lane.index()];
                    if let Some(place) = lane.find(aim.number) {
                        lane.entries[place].doubt = true;
                    }
                }
            }
            let group = content.groups.get(group).cloned().unwrap_or(0..0);
            let leg = Leg {
                op: id,
                lane: content.lane,
                link,
                flood,
                group,
                targets,
                offset: 0,
                blocked: false,
            };
            self.depart(leg, now);
        }
    }

    /// Starts a leg, and sends as much of it as goes.
    fn depart(&mut self, leg: Leg, now: Instant) {
        self.next_leg += 1;
        let id = self.next_leg;
        for aim in &leg.targets {
            let path = self.path(aim.flow);
            let lane = &mut self.flows[aim.flow].lanes[leg.lane.index()];
            if let Some(place) = lane.find(aim.number) {
                lane.begin(place, id, leg.link, path, now);
                let entry = &mut lane.entries[place];
                entry.flooded = leg.flood.is_some();
                // Whoever drops out of the leg before it goes gets the copy all the same.
                entry.doubt |= entry.flooded;
            }
            self.due = earliest(self.due, Some(lane.heard + lane.patience));
        }
        self.legs.insert(id, leg);
        self.advance(id, now);
    }

    /// The way to a flow's node, computed once for each set of routes.
    pub(super) fn path(&mut self, at: usize) -> Arc<[Instance]> {
        let flow = &mut self.flows[at];
        if flow.path.0 != self.epoch {
            let route = self.fib.routes.route(flow.name.as_str());
            let path = route.map_or_else(Vec::new, |route| self.fib.routes.path(route.index));
            flow.path = (self.epoch, path.into());
        }
        flow.path.1.clone()
    }

    /// Sends on with a leg as far as queues and windows let it; gives the flows whose lanes are free
    /// once all of it is sent.
    fn advance(&mut self, id: u64, now: Instant) -> Option<(Lane, Vec<usize>)> {
        let mut leg = self.legs.remove(&id)?;
        let content = self.ops.get(&leg.op).map(|op| op.content.clone())?;
        let lane = leg.lane;
        let flows = &self.flows;
        leg.targets.retain(|aim| flows[aim.flow].lanes[lane.index()].leg == Some(id));
        if leg.targets.is_empty() {
            return None;
        }
        let mut finished = false;
        while !finished {
            let in_window = |aim: &Aim| self.flows[aim.flow].lanes[lane.index()].has_room();
            if !leg.targets.iter().all(in_window) {
                break;
            }
            let Some(outbound) = self.fib.links.get(&leg.link) else {
                break;
            };
            let end = content.body.len().min(leg.offset + CHUNK_BYTES);
            let frame = self.frame(&leg, &content, leg.offset..end);
            let class = if lane.large { Class::Large } else { Class::Small };
            if outbound.push(class, frame.encode()).is_err() {
                if !leg.blocked {
                    leg.blocked = true;
                    self.blocked.entry(leg.link).or_default().push_back(id);
                }
                break;
            }
            let bytes = (end - leg.offset) as u64 + MESSAGE_OVERHEAD_BYTES;
            leg.offset = end;
            finished = end == content.body.len();
            for aim in &leg.targets {
                let flow = &mut self.flows[aim.flow].lanes[lane.index()];
                if let Some(place) = flow.find(aim.number) {
                    flow.sent_bytes(place, bytes, now);
                    if finished {
                        flow.entries[place].doubt &= leg.flood.is_none();
                        flow.sent(place, now);
                    }
                }
            }
        }
        if finished {
            return Some((lane, leg.targets.into_iter().map(|aim| aim.flow).collect()));
        }
        self.legs.insert(id, leg);
        None
    }

    /// As [`Sends::advance`], and then what waits behind it.
    pub(super) fn advance_and_pump(&mut self, leg: u64, now: Instant) {
        if let Some((lane, free)) = self.advance(leg, now) {
            for at in free {
                self.pump(at, lane, now);
            }
        }
    }

    fn frame(&self, leg: &Leg, content: &Content, part: Range<usize>) -> DataFrame {
        let lane = content.lane;
        let targets = match leg.flood {
            Some(number) => {
                let open = &self.floods[usize::from(lane.large)].open;
                let floor = open.keys().next().map_or(number, |floor| number.min(*floor));
                Targets::Flood(Slot { number, floor })
            }
            None => {
                let mut list: Vec<Target> = content.recipients[leg.group.clone()]
                    .iter()
                    .map(|name| Target { name: name.clone(), slot: None, oldest: 0 })
                    .collect();
                for aim in &leg.targets {
                    let flow = &self.flows[aim.flow];
                    let target = &mut list[aim.recipient - leg.group.start];
                    target.slot = Some(flow.lanes[lane.index()].slot(aim.number));
                    target.oldest = flow.oldest(lane, content.id);
                }
                Targets::List(list)
            }
        };
        let chunk = lane
            .large
            .then_some(Chunk { offset: part.start as u64, total: content.body.len() as u64 });
        let header = DataHeader {
            source: self.me.clone(),
            instance: self.instance,
            id: content.id,
            lane,
            encoding: content.encoding.0,
            targets,
            chunk,
            route: vec![self.me.clone()],
        };
        DataFrame { header, body: content.body.slice(part) }
    }

    /// Starts whatever a lane and its sibling may send now.
    pub(super) fn pump(&mut self, at: usize, lane: Lane, now: Instant) {
        loop {
            let Some(route) = self.fib.routes.route(self.flows[at].name.as_str()) else {
                return;
            };
            let flow = &mut self.flows[at];
            let Some((lane, place)) = flow.ready(lane) else {
                return;
            };
            let entry = &flow.lanes[lane.index()].entries[place];
            let (op, recipient, number) = (entry.op, entry.recipient, entry.number);
            let Some(content) = self.ops.get(&op).map(|op| op.content.clone()) else {
                return;
            };
            let group = if lane.broadcast {
                recipient..recipient + 1
            } else {
                content.groups[content.group(recipient)].clone()
            };
            let targets = vec![Aim { recipient, flow: at, number }];
            let leg = Leg {
                op,
                lane,
                link: route.link,
                flood: None,
                group,
                targets,
                offset: 0,
                blocked: false,
            };
            self.depart(leg, now);
        }
    }

    /// A link's queue has room again.
    pub(in crate::forward) fn writable(&mut self, link: LinkId, now: Instant) {
        let waiting = self.blocked.remove(&link).unwrap_or_default();
        for leg in &waiting {
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.blocked = false;
            }
        }
        for leg in waiting {
            self.advance_and_pump(leg, now);
        }
    }
}
