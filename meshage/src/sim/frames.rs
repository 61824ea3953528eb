//! Reads and writes the bytes of a connection: hellos and frames, and their dispatch to the planes.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::forward::outbound::{Batch, Outbound};
use crate::forward::read_buffer::ChunkRead;
use crate::name::{LinkId, MessageId};
use crate::protocol::io::{Input, Role};
use crate::wire::ack::AckFrame;
use crate::wire::control::ControlFrame;
use crate::wire::data::DataFrame;
use crate::wire::deframe::RawFrame;
use crate::wire::frame::{self, FrameKind};
use crate::wire::hello::{Hello, PREFACE_BYTES};

use super::connection::{ConnectionId, Reader, Side, State};
use super::network::HostId;
use super::node::SimLink;
use super::sealed::Sealed;
use super::simulation::Sim;

/// How often received bytes on a link are reported to the router.
const RECEIVED_REPORT_INTERVAL: Duration = Duration::from_millis(250);
/// The same for keep-alives.
const KEEP_ALIVE_REPORT_INTERVAL: Duration = Duration::from_millis(50);

impl Sim {
    pub(super) fn read(&mut self, id: ConnectionId, side: Side, buffers: Vec<Bytes>) {
        let end = self.connections[id.0].end_mut(side);
        let host_id = end.host_id;
        match &mut end.state {
            State::Hello(collected) => {
                buffers.iter().for_each(|buffer| collected.extend_from_slice(buffer));
                self.read_hello(id, side);
            }
            State::Sealing(_) => self.read_handshake(id, side, &buffers),
            State::Link { .. } if end.sealed.is_some() => {
                self.open_records(host_id, id, side, &buffers);
            }
            State::Link { .. } => self.read_frames_of(host_id, id, side, buffers),
            State::Connecting | State::Closed => {
                panic!("invariant S1: only an open end reads bytes");
            }
        }
    }

    /// Reads the bytes of frames, as they would travel in an open mesh.
    pub(super) fn read_frames_of(
        &mut self,
        host_id: HostId,
        id: ConnectionId,
        side: Side,
        buffers: Vec<Bytes>,
    ) {
        match &mut self.connections[id.0].end_mut(side).state {
            State::Link { reader, .. } if !reader.waiting.is_empty() => {
                reader.unread.extend(buffers);
            }
            State::Link { .. } => self.read_link(host_id, id, side, &buffers.concat()),
            State::Connecting | State::Hello(_) | State::Sealing(_) | State::Closed => {}
        }
    }

    fn read_hello(&mut self, id: ConnectionId, side: Side) {
        if self.read_foreign_preface(id, side) {
            return;
        }
        let State::Hello(collected) = &self.connections[id.0].end(side).state else {
            return;
        };
        let Some(preface) = collected.first_chunk::<PREFACE_BYTES>() else {
            return;
        };
        let length = match Hello::length(*preface) {
            Ok(length) => PREFACE_BYTES + length,
            Err(error) => panic!("invariant S8: a node's preface is refused: {error}"),
        };
        if collected.len() < length {
            return;
        }
        let hello = match Hello::decode(&collected[PREFACE_BYTES..length]) {
            Ok(hello) => hello,
            Err(error) => panic!("invariant S8: a node's hello is refused: {error}"),
        };
        let unread = collected[length..].to_vec();
        self.link_up(id, side, hello, &unread, None);
    }

    /// A hello has arrived: the end becomes a link.
    pub(super) fn link_up(
        &mut self,
        id: ConnectionId,
        side: Side,
        hello: Hello,
        unread: &[u8],
        sealed: Option<Box<Sealed>>,
    ) {
        let mut reader = Box::new(Reader { heard_at: self.now, ..Reader::default() });
        reader.read_buffer.deframer().buffer().extend_from_slice(unread);
        let connection = &mut self.connections[id.0];
        let dial = connection.dial;
        let end = connection.end_mut(side);
        let host_id = end.host_id;
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            panic!("invariant S1: an open end belongs to an incarnation");
        };
        let link = LinkId(incarnation.next_link);
        incarnation.next_link += 1;
        end.state = State::Link { link, reader };
        end.sealed = sealed;
        incarnation.links.insert(
            link,
            SimLink { connection: id, side, outbound: Arc::new(Outbound::default()) },
        );
        incarnation.fib_stale = true;
        let role = match side {
            Side::Dialler => Role::Dialler(dial),
            Side::Listener => Role::Listener,
        };
        self.trace_hash.event(self.now, b'u', host_id.0 as u64, link.0);
        self.trace_hash
            .line(self.now, || format!("link up {} {link} to {}", host_id.0, hello.name));
        self.feed(host_id, Input::LinkUp { link, role, hello, proof: None });
        self.settle(host_id);
        self.read_frames(host_id, id, side);
    }

    /// Reads as a real link does: large bodies into their final buffer, the rest into the read
    /// buffer.
    fn read_link(&mut self, host_id: HostId, id: ConnectionId, side: Side, mut bytes: &[u8]) {
        let now = self.instant();
        while !bytes.is_empty() {
            let State::Link { link, reader } = &mut self.connections[id.0].end_mut(side).state
            else {
                return;
            };
            if !reader.waiting.is_empty() {
                reader.unread.push(Bytes::copy_from_slice(bytes));
                return;
            }
            let read_buffer = &mut reader.read_buffer;
            let (link, Some(incarnation)) = (*link, &mut self.hosts[host_id.0].incarnation) else {
                return;
            };
            let read = read_buffer.read_chunk(
                &incarnation.plane,
                link,
                || now,
                |buffers| bytes.read_vectored(buffers),
            );
            match read {
                Ok(ChunkRead::Part(_) | ChunkRead::Complete(_)) => {}
                Ok(ChunkRead::Ordinary) => {
                    read_buffer.deframer().buffer().extend_from_slice(std::mem::take(&mut bytes));
                }
                Err(error) => panic!("invariant S8: a read from memory failed: {error}"),
            }
            self.read_frames(host_id, id, side);
        }
    }

    /// Handles all complete frames, and starts in-place reassembly for a partial chunk.
    fn read_frames(&mut self, host_id: HostId, id: ConnectionId, side: Side) {
        let State::Link { link, reader } = &mut self.connections[id.0].end_mut(side).state else {
            return;
        };
        let link = *link;
        let Reader { read_buffer, reported_at, waiting: frames, .. } = &mut **reader;
        loop {
            match read_buffer.deframer().next_frame() {
                Ok(Some(frame)) => {
                    frames.push_back(frame);
                    read_buffer.next_frame_began();
                }
                Ok(None) => break,
                Err(error) => panic!("invariant S8: a node's frames are refused: {error}"),
            }
        }
        let keep_alive = frames.iter().any(|frame| frame.kind == Some(FrameKind::KeepAlive));
        let interval =
            if keep_alive { KEEP_ALIVE_REPORT_INTERVAL } else { RECEIVED_REPORT_INTERVAL };
        let report = reported_at.is_none_or(|at| self.now >= at + interval);
        if report {
            *reported_at = Some(self.now);
            self.feed(host_id, Input::BytesReceived { link });
        }
        self.handle_frames(host_id, id, side);
    }

    /// Handles the frames that were read, in order. As the reader of a real link does, it waits
    /// before a message until the control frames before it have taken effect.
    fn handle_frames(&mut self, host_id: HostId, id: ConnectionId, side: Side) {
        loop {
            let State::Link { link, reader } = &self.connections[id.0].end(side).state else {
                return;
            };
            let link = *link;
            let Some(frame) = reader.waiting.front() else { break };
            let data = is_data_plane(frame);
            let waits = data && (reader.control_pending || self.lacks_routes(host_id, frame));
            if waits && !self.apply_control(host_id, link) {
                if let Some(incarnation) = &mut self.hosts[host_id.0].incarnation {
                    incarnation.waiting_readers.insert((id, side));
                }
                return;
            }
            let State::Link { reader, .. } = &mut self.connections[id.0].end_mut(side).state else {
                return;
            };
            reader.control_pending = !data;
            let run = reader.waiting.iter().take_while(|frame| is_data_plane(frame) == data);
            // The source of each message may have to be waited for.
            let pending = self.hosts[host_id.0]
                .incarnation
                .as_ref()
                .is_some_and(|incarnation| incarnation.router.has_pending_routes());
            let run = if data && pending { 1 } else { run.count() };
            let frames: Vec<RawFrame> = reader.waiting.drain(..run).collect();
            if data {
                self.receive(host_id, link, &frames);
                continue;
            }
            for frame in frames.iter().filter(|frame| frame.kind == Some(FrameKind::Control)) {
                self.control(host_id, link, frame);
            }
        }
        self.start_in_place(host_id, id, side);
    }

    /// Whether the routes do not reflect all announcements, and lack the source of a message.
    fn lacks_routes(&self, host_id: HostId, frame: &RawFrame) -> bool {
        self.incarnation(host_id).is_some_and(|incarnation| {
            incarnation.router.has_pending_routes()
                && !incarnation.plane.knows_sources(std::slice::from_ref(frame))
        })
    }

    /// Whether the control frames that arrived on a link have taken effect, the routes included.
    fn apply_control(&mut self, host_id: HostId, link: LinkId) -> bool {
        let now = self.instant();
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return true;
        };
        let of_link =
            |input: &Input| matches!(input, Input::Control { link: of, .. } if *of == link);
        if incarnation.queued.iter().any(of_link) || !incarnation.router.settle_routes(now) {
            // A timer was set. It also runs where no other event does.
            self.set_wake(host_id);
            return false;
        }
        self.drain(host_id);
        if self.incarnation(host_id).is_some_and(|incarnation| incarnation.fib_stale) {
            self.install(host_id);
        }
        true
    }

    /// Lets the readers continue that waited for control frames. Returns whether any did.
    pub(super) fn resume_readers(&mut self, host_id: HostId) -> bool {
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return false;
        };
        let mut resumed = false;
        for (id, side) in std::mem::take(&mut incarnation.waiting_readers) {
            self.handle_frames(host_id, id, side);
            let State::Link { reader, .. } = &mut self.connections[id.0].end_mut(side).state else {
                continue;
            };
            if reader.waiting.is_empty() {
                resumed = true;
                let unread = std::mem::take(&mut reader.unread);
                self.read_link(host_id, id, side, &unread.concat());
            }
        }
        resumed
    }

    fn start_in_place(&mut self, host_id: HostId, id: ConnectionId, side: Side) {
        let now = self.instant();
        let State::Link { link, reader } = &mut self.connections[id.0].end_mut(side).state else {
            return;
        };
        if reader.control_pending {
            return;
        }
        let read_buffer = &mut reader.read_buffer;
        if let Some(incarnation) = &self.hosts[host_id.0].incarnation
            && incarnation.links.contains_key(link)
        {
            read_buffer.start_in_place(&incarnation.plane, *link, now);
        }
    }

    fn control(&mut self, host_id: HostId, link: LinkId, frame: &RawFrame) {
        let frame = match ControlFrame::decode(&frame.payload) {
            Ok(frame) => frame,
            Err(error) => panic!("invariant S8: a node's control frame is refused: {error}"),
        };
        let Some(incarnation) = &self.hosts[host_id.0].incarnation else {
            return;
        };
        if !incarnation.links.contains_key(&link) {
            return;
        }
        self.trace_hash.line(self.now, || format!("control {} {link} {frame:?}", host_id.0));
        self.feed(host_id, Input::Control { link, frame });
    }

    fn receive(&mut self, host_id: HostId, link: LinkId, frames: &[RawFrame]) {
        let now = self.instant();
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        if !incarnation.links.contains_key(&link) {
            return;
        }
        for frame in frames {
            self.trace_hash
                .line(self.now, || format!("frame {} {link} {}", host_id.0, describe(frame)));
            if let Some((source, crossings)) = &mut self.crossings
                && frame.kind == Some(FrameKind::Data)
                && let Ok(DataFrame { header, .. }) = DataFrame::decode(frame.payload.clone())
                && header.instance == *source
                && header.channel.broadcast
            {
                *crossings.entry(MessageId(header.id)).or_default() += 1;
            }
        }
        let refused = incarnation.plane.refused_in_transit();
        let taken = incarnation.plane.receive(link, frames, now);
        self.counters.order_disruptions += incarnation.plane.refused_in_transit() - refused;
        if let Err(error) = taken {
            panic!("invariant S8: a node's message is refused: {error}");
        }
    }

    pub(super) fn write(&mut self, host_id: HostId, sim_link: &SimLink, batch: Batch) {
        if batch.buffers.is_empty() {
            return;
        }
        let mut buffers = Vec::with_capacity(batch.buffers.len());
        let counters = &mut self.counters.hosts[host_id.0];
        for run in batch.buffers {
            self.trace_hash.bytes(&run.bytes);
            let whole = match run.body.is_empty() {
                true => Bytes::from(run.bytes),
                false => Bytes::from([&run.bytes[..], &run.body[..]].concat()),
            };
            frame::frames(&whole).for_each(|frame| counters.wrote(frame));
            buffers.push(whole);
        }
        let buffers = self.seal(sim_link.connection, sim_link.side, buffers);
        self.put_bytes(sim_link.connection, sim_link.side, buffers);
    }
}

fn is_data_plane(frame: &RawFrame) -> bool {
    match frame.kind {
        Some(FrameKind::Data | FrameKind::Ack) => true,
        Some(FrameKind::Control | FrameKind::KeepAlive) | None => false,
    }
}

/// Describes a data or acknowledgement frame for the printed trace.
fn describe(frame: &RawFrame) -> String {
    match frame.kind {
        Some(FrameKind::Data) => match DataFrame::decode(frame.payload.clone()) {
            Ok(data) => format!("{:?} {} bytes", data.header, data.body.len()),
            Err(error) => error.to_string(),
        },
        Some(FrameKind::Ack) => match AckFrame::decode(&frame.payload) {
            Ok(acks) => format!("{:?}", acks.entries),
            Err(error) => error.to_string(),
        },
        Some(FrameKind::Control | FrameKind::KeepAlive) | None => format!("{:?}", frame.kind),
    }
}
