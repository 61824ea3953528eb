//! Legs: a message on its way over one link, for all the recipients behind it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use smallvec::{SmallVec, smallvec};

use super::flow::MESSAGE_OVERHEAD_BYTES;
use super::ops::Content;
use super::pace::BESIDE_LASTS;
use super::{Sends, earliest, note_queued};
use crate::forward::outbound::{Class, Full};
use crate::name::LinkId;
use crate::wire::data::{CHUNK_BYTES, Chunk, DataHeader, Lane, Slot, Target, TargetList, Targets};
use crate::wire::frame::FrameKind;

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
    targets: SmallVec<[Aim; 1]>,
    /// How much of the body has gone.
    pub(super) offset: usize,
    /// It waits for room in the link's queue.
    blocked: bool,
}

impl Leg {
    fn new(
        op: u64,
        content: &Content,
        link: LinkId,
        group: Range<usize>,
        targets: SmallVec<[Aim; 1]>,
    ) -> Self {
        let lane = content.lane;
        Self { op, lane, link, flood: None, group, targets, offset: 0, blocked: false }
    }
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
        let Some(op) = self.ops.get(id) else {
            return;
        };
        if let (None, [Some((flow, number))]) = (flood, op.entries.as_slice()) {
            let aim = Aim { recipient: 0, flow: *flow, number: *number };
            if let Some(link) = self.way(aim.flow).link
                && self.is_next(&aim, content.lane)
            {
                self.depart(Leg::new(id, content, link, 0..1, smallvec![aim]), content, now);
            }
            return;
        }
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
            let mut overtakes = false;
            let (targets, held): (SmallVec<[Aim; 1]>, SmallVec<[Aim; 1]>) =
                all.into_iter().partition(|aim| {
                    overtakes |= !self.is_its_turn(aim, content.lane);
                    self.is_next(aim, content.lane)
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
                    let lane = &mut self.flows[aim.flow].lanes[content.lane.index()];
                    if let Some(place) = lane.find(aim.number) {
                        lane.entries[place].doubt = true;
                    }
                }
            }
            let group = content.groups.get(group).cloned().unwrap_or(0..0);
            let leg = Leg { flood, ..Leg::new(id, content, link, group, targets) };
            if let (Some(_), Some(op)) = (flood, self.ops.get_mut(id)) {
                op.flooded_at = Some(now);
            }
            self.depart(leg, content, now);
        }
    }

    /// Sends a broadcast over a link to these recipients alone, each named.
    fn name_all(&mut self, id: u64, content: &Content, link: LinkId, aims: &[Aim], now: Instant) {
        for part in aims.chunk_by(|a, b| content.group(a.recipient) == content.group(b.recipient)) {
            let group = content.groups[content.group(part[0].recipient)].clone();
            let leg = Leg::new(id, content, link, group, part.iter().copied().collect());
            self.depart(leg, content, now);
        }
    }

    /// Whether a message is what its lane may send next.
    fn is_next(&mut self, aim: &Aim, lane: Lane) -> bool {
        let flow = &mut self.flows[aim.flow];
        let place = flow.lanes[lane.index()].find(aim.number);
        place.is_some() && flow.ready(lane) == place.map(|at| (lane, at))
    }

    /// Whether nothing older is to be sent before a message, be there room in the window or not.
    fn is_its_turn(&mut self, aim: &Aim, lane: Lane) -> bool {
        let flow = &mut self.flows[aim.flow];
        let place = flow.lanes[lane.index()].find(aim.number);
        flow.turn(lane) == place.map(|at| (lane, at))
    }

    /// Starts a leg, and sends as much of it as goes.
    fn depart(&mut self, leg: Leg, content: &Content, now: Instant) {
        self.next_leg += 1;
        let id = self.next_leg;
        for aim in &leg.targets {
            let path = self.way(aim.flow).path.clone();
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
        // Whose lanes are free afterwards were free before: nothing waits behind it.
        let _ = self.go(id, leg, content, now);
    }

    /// Sends on with a leg as far as queues and windows let it; gives the flows whose lanes are free
    /// once all of it is sent.
    fn advance(&mut self, id: u64, now: Instant) -> Option<(Lane, Vec<usize>)> {
        let mut leg = self.legs.remove(&id)?;
        let content = self.ops.get(leg.op).map(|op| op.content.clone())?;
        let lane = leg.lane;
        let flows = &self.flows;
        leg.targets.retain(|aim| flows[aim.flow].lanes[lane.index()].leg == Some(id));
        if leg.targets.is_empty() {
            return None;
        }
        let free = leg.targets.iter().map(|aim| aim.flow).collect();
        self.go(id, leg, &content, now).then_some((lane, free))
    }

    /// Sends on with a leg; keeps it if it is not finished, and says whether it is.
    fn go(&mut self, id: u64, mut leg: Leg, content: &Content, now: Instant) -> bool {
        let lane = leg.lane;
        let beside =
            self.small_at.is_some_and(|at| now.saturating_duration_since(at) < BESIDE_LASTS);
        let mut finished = false;
        while !finished {
            let in_window = |aim: &Aim| self.flows[aim.flow].lanes[lane.index()].has_room();
            if !leg.targets.iter().all(in_window) {
                break;
            }
            let end = content.body.len().min(leg.offset + CHUNK_BYTES);
            let header = self.header(&leg, content, leg.offset..end);
            let Some(outbound) = self.fib.links.get(&leg.link) else {
                break;
            };
            let class = if lane.large { Class::Large } else { Class::Small };
            // A short message that would find room does not overtake a long one that found none.
            let place = (leg.link, lane.large);
            let behind = self.blocked.get(&place).is_some_and(|waiting| !waiting.is_empty());
            let body = content.body.slice(leg.offset..end);
            let push =
                || outbound.push(class, FrameKind::Data, &body, |head| header.encode_into(head));
            let pushed = if leg.blocked || behind { Err(Full) } else { push() };
            let Ok(idle) = pushed else {
                if !leg.blocked {
                    leg.blocked = true;
                    self.blocked.entry(place).or_default().push_back(id);
                }
                break;
            };
            if idle {
                note_queued(&mut self.queued, outbound);
            }
            let bytes = (end - leg.offset) as u64 + MESSAGE_OVERHEAD_BYTES;
            leg.offset = end;
            finished = end == content.body.len();
            for aim in &leg.targets {
                let flow = &mut self.flows[aim.flow].lanes[lane.index()];
                if let Some(place) = flow.find(aim.number) {
                    flow.sent_bytes(place, bytes, beside, now);
                    if finished {
                        flow.entries[place].doubt &= leg.flood.is_none();
                        flow.sent(place, now);
                    }
                }
            }
        }
        if !finished {
            self.legs.insert(id, leg);
        }
        finished
    }

    /// As [`Sends::advance`], and then what waits behind it.
    pub(super) fn advance_and_pump(&mut self, leg: u64, now: Instant) {
        if let Some((lane, free)) = self.advance(leg, now) {
            for at in free {
                self.pump(at, lane, now);
            }
        }
    }

    fn header(&self, leg: &Leg, content: &Content, part: Range<usize>) -> DataHeader {
        let lane = content.lane;
        let targets = match leg.flood {
            Some(number) => {
                let open = &self.floods[usize::from(lane.large)].open;
                let floor = open.keys().next().map_or(number, |floor| number.min(*floor));
                Targets::Flood(Slot { number, floor })
            }
            None => {
                let mut list: TargetList = content.recipients[leg.group.clone()]
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
        DataHeader {
            source: self.me.clone(),
            instance: self.instance,
            id: content.id,
            lane,
            encoding: content.encoding.0,
            targets,
            chunk,
            route: self.me.clone().into(),
        }
    }

    /// Starts whatever a lane and its sibling may send now.
    pub(super) fn pump(&mut self, at: usize, lane: Lane, now: Instant) {
        loop {
            let Some(link) = self.way(at).link else {
                return;
            };
            let flow = &mut self.flows[at];
            let Some((lane, place)) = flow.ready(lane) else {
                return;
            };
            let entry = &flow.lanes[lane.index()].entries[place];
            let (op, recipient, number) = (entry.op, entry.recipient, entry.number);
            let Some(content) = self.ops.get(op).map(|op| op.content.clone()) else {
                return;
            };
            let group = if lane.broadcast {
                recipient..recipient + 1
            } else {
                content.groups[content.group(recipient)].clone()
            };
            let aim = Aim { recipient, flow: at, number };
            let leg = Leg::new(op, &content, link, group, smallvec![aim]);
            self.depart(leg, &content, now);
        }
    }

    /// Forgets a leg that nobody is sent to any more.
    pub(super) fn let_go(&mut self, leg: Option<u64>, lane: Lane) {
        let Some((id, leg)) = leg.and_then(|id| Some((id, self.legs.get(&id)?))) else { return };
        let goes_on = |aim: &Aim| self.flows[aim.flow].lanes[lane.index()].leg == Some(id);
        if !leg.targets.iter().any(goes_on) {
            self.legs.remove(&id);
        }
    }

    /// A link's queue has room again.
    pub(in crate::forward) fn writable(&mut self, link: LinkId, now: Instant) {
        let waiting: Vec<u64> = [false, true]
            .iter()
            .filter_map(|large| self.blocked.remove(&(link, *large)))
            .flatten()
            .collect();
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
