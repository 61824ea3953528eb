//! A transmission: a message on its way over one link.

use std::ops::Range;

use smallvec::SmallVec;

use super::send_table::Content;
use crate::name::LinkId;
use crate::wire::data::Channel;

/// One recipient of a transmission.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination {
    /// The recipient's index in the list of the send.
    pub(super) recipient: usize,
    /// The index of its flow.
    pub(super) flow: usize,
    /// The message's sequence number in that flow.
    pub(super) number: u64,
}

/// A message on its way over one link.
#[derive(Debug)]
pub(super) struct Transmission {
    /// The send that it belongs to.
    pub(super) send: u64,
    pub(super) channel: Channel,
    pub(super) link: LinkId,
    /// The sequence number of a broadcast that goes to every node behind the link.
    pub(super) broadcast_number: Option<u64>,
    /// The recipients that its header names.
    pub(super) group: Range<usize>,
    pub(super) destinations: SmallVec<[Destination; 1]>,
    /// How many bytes of the body were sent.
    pub(super) offset: usize,
    /// It waits for room in the link's queue.
    pub(super) blocked: bool,
}

impl Transmission {
    /// A transmission of which nothing was sent.
    pub(super) fn new(
        send: u64,
        content: &Content,
        link: LinkId,
        group: Range<usize>,
        destinations: SmallVec<[Destination; 1]>,
    ) -> Self {
        let channel = content.channel;
        let (broadcast_number, offset, blocked) = (None, 0, false);
        Self { send, channel, link, broadcast_number, group, destinations, offset, blocked }
    }
}
