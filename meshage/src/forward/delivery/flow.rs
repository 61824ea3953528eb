//! The flow from this node to one recipient: its route, and what is outstanding in each channel.

use std::sync::Arc;
use std::time::Instant;

use super::channel_flow::ChannelFlow;
use crate::name::{Instance, LinkId, NodeName};
use crate::wire::data::Channel;

/// The route to a node, cached for one set of routes.
#[derive(Debug)]
pub struct CachedRoute {
    /// The number of the set of routes.
    pub epoch: u64,
    /// The nodes along the path; the recipient is the last.
    pub path: Arc<[Instance]>,
    /// The link to the first of them; `None` if there is no route.
    pub link: Option<LinkId>,
}

/// All that is outstanding from this node to one recipient.
#[derive(Debug)]
pub struct Flow {
    /// The recipient.
    pub name: NodeName,
    /// The incarnation that the channels belong to; `None` while the recipient cannot be reached.
    pub instance: Option<Instance>,
    /// The route to it.
    pub route: CachedRoute,
    /// In the order of [`crate::wire::data::Channel::ALL`].
    pub channels: [ChannelFlow; 4],
}

impl Flow {
    /// A flow to a node. Its sequence numbers start at `first`, which no earlier flow to the same
    /// node has reached.
    pub fn new(name: NodeName, first: u64, now: Instant) -> Self {
        let channel = |channel| ChannelFlow::new(channel, first, now);
        let route = CachedRoute { epoch: 0, path: Arc::new([]), link: None };
        Self { name, instance: None, route, channels: Channel::ALL.map(channel) }
    }

    /// Sets the incarnation of the recipient. A new one has no numbers to go back from.
    pub fn set_instance(&mut self, instance: Option<Instance>) {
        if self.instance != instance {
            self.instance = instance;
            self.channels.iter_mut().for_each(|channel| channel.restart = None);
        }
    }

    /// The message that a channel and its sibling may send next: the older of the two candidates.
    /// There is none while either channel is sending, draining or stalled, or while the window is
    /// full.
    pub fn next_sendable(&mut self, channel: Channel) -> Option<(Channel, usize)> {
        let (next, position) = self.next_in_order(channel)?;
        self.channels[next.index()].has_room().then_some((next, position))
    }

    /// The same, regardless of room in the window.
    pub fn next_in_order(&mut self, channel: Channel) -> Option<(Channel, usize)> {
        let next = [channel, channel.sibling()]
            .into_iter()
            .filter_map(|channel| {
                let flow = &mut self.channels[channel.index()];
                let position = flow.first_waiting()?;
                Some((flow.entries[position].send, channel, position))
            })
            .min_by_key(|(send, ..)| *send);
        let (_, next, position) = next?;
        let free = [channel, channel.sibling()]
            .iter()
            .all(|channel| self.channels[channel.index()].is_free());
        free.then_some((next, position))
    }

    /// Whether a new message of a channel can be sent at once: nothing waits in the channel or its
    /// sibling, neither is sending, draining or stalled, and the window has room.
    pub fn can_send_at_once(&mut self, channel: Channel) -> bool {
        let mut channels = [channel, channel.sibling()].into_iter();
        self.channels[channel.index()].has_room()
            && channels.all(|channel| {
                let channel = &mut self.channels[channel.index()];
                channel.is_free() && channel.first_waiting().is_none()
            })
    }

    /// The oldest send that is outstanding in a channel or its sibling; at most `send`.
    pub fn oldest(&self, channel: Channel, send: u64) -> u64 {
        [channel, channel.sibling()]
            .iter()
            .filter_map(|channel| self.channels[channel.index()].entries.front())
            .fold(send, |oldest, entry| oldest.min(entry.send))
    }

    /// Whether nothing is outstanding.
    pub fn is_idle(&self) -> bool {
        self.channels.iter().all(|channel| channel.outstanding == 0)
    }
}
