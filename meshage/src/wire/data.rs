//! Messages and their acknowledgements on a link.
//!
//! ```text
//!  data frame: prefix | header length: u16 | DataHeader | body, or a chunk of it
//! ```
//!
//! A message belongs to one of four **channels**: set or broadcast, small or large. Each source counts
//! the messages of a channel, for sets per recipient: the **sequence** of a message is its number there,
//! with the **floor** below which the source has given up or been told of every one. From the two a
//! receiver knows whether a message is the next, was had before, or comes too early. Between a set
//! and a broadcast of the same size order holds too: a receiver that refused one message of a source
//! refuses what the source sent later, until it has that one or hears that it was given up.

use std::fmt;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::WireError;
use super::field_codec::{FieldReader, NUMBER_BYTES_MAX, put_name, put_number, unknown};
use super::frame::{FRAME_BYTES_MAX, FrameKind, WireFrame};
use crate::name::{Instance, Names, NodeName};

/// How often a message may be put on a link: 64. A path that long is a loop.
pub const HOP_LIMIT: usize = 64;
/// The most bytes of a header: recipients up to [`RECIPIENTS_BYTES_MAX`] and 64 hops of the longest
/// names stay within it.
pub const HEADER_BYTES_MAX: usize = 8 << 10;
/// The most bytes of recipients in one frame, each counted as long as it may become; a longer list
/// goes in several frames.
pub const RECIPIENTS_BYTES_MAX: usize = 3 << 10;
/// The most bytes of a body in one frame; a longer body goes in chunks of this size.
pub const CHUNK_BYTES: usize = FRAME_BYTES_MAX - HEADER_BYTES_MAX - 16;
/// Which order a message keeps: messages of one channel arrive in the order they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct Channel {
    /// Sent to every node.
    pub broadcast: bool,
    /// Larger than a chunk.
    pub large: bool,
}

/// A message's number in its channel, and the number below which none is outstanding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct MessageSequence {
    /// The message's number: 1, 2, 3 …
    pub number: u64,
    /// Below it, the source waits for no message any more.
    pub floor: u64,
}

/// One recipient of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct Target {
    /// The node.
    pub name: NodeName,
    /// Its sequence; `None` where another copy of the message goes to it.
    pub sequence: Option<MessageSequence>,
    /// The oldest message, by its id, that the source still has outstanding for this recipient, in
    /// this channel or its [sibling](Channel::sibling).
    pub oldest: u64,
}

impl Target {
    /// What a recipient of this name may take in a header: the name and its length, whether there is
    /// a sequence, and three numbers of the longest kind.
    pub fn bytes_max(name: &NodeName) -> usize {
        1 + name.as_str().len() + 1 + 3 * NUMBER_BYTES_MAX
    }
}

/// Whom a copy of a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every node behind this link in the source's tree.
    Flood(MessageSequence),
    /// The recipients that have a sequence.
    List(TargetList),
}

/// The recipients of a set: one of them stands in the value itself.
pub type TargetList = SmallVec<[Target; 1]>;

impl Targets {
    fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        match fields.number()? {
            0 => Ok(Self::Flood(MessageSequence::decode(fields)?)),
            1 => {
                // Nothing is allocated from a claimed length: each entry is there, or an error.
                let mut list = TargetList::new();
                for _ in 0..fields.number()? {
                    let name = fields.name()?;
                    let sequence =
                        if fields.flag()? { Some(MessageSequence::decode(fields)?) } else { None };
                    list.push(Target { name, sequence, oldest: fields.number()? });
                }
                Ok(Self::List(list))
            }
            other => Err(unknown("recipients of kind", other)),
        }
    }
}

/// Which part of a large body a frame brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct Chunk {
    /// Where in the body it begins.
    pub offset: u64,
    /// How long the body is.
    pub total: u64,
}

/// What a relay reads of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct DataHeader {
    /// The node that sent it.
    pub source: NodeName,
    /// This life of the source.
    pub instance: Instance,
    /// The message's number at its source.
    pub id: u64,
    /// The order it keeps.
    pub channel: Channel,
    /// How the body is to be read.
    pub encoding: u32,
    /// Whom this copy is for.
    pub targets: Targets,
    /// Which part of the body this is; `None` where it is all of it.
    pub chunk: Option<Chunk>,
    /// The nodes that put it on a link, the source first.
    pub route: Names,
}

/// A [`DataHeader`] that is only written: it borrows what it names.
#[derive(Debug, Clone, Copy)]
pub struct HeaderRef<'a> {
    /// The node that sent it.
    pub source: &'a NodeName,
    /// This life of the source.
    pub instance: Instance,
    /// The message's number at its source.
    pub id: u64,
    /// The order it keeps.
    pub channel: Channel,
    /// How the body is to be read.
    pub encoding: u32,
    /// Whom this copy is for.
    pub targets: TargetsRef<'a>,
    /// Which part of the body this is; `None` where it is all of it.
    pub chunk: Option<Chunk>,
    /// The nodes that put it on a link, the source first.
    pub route: &'a [NodeName],
}

/// [`Targets`] that are only written.
#[derive(Debug, Clone, Copy)]
pub enum TargetsRef<'a> {
    /// Every node behind this link in the source's tree.
    Flood(MessageSequence),
    /// The recipients that have a sequence.
    List(&'a [Target]),
    /// A list of this recipient alone.
    One {
        /// The node.
        name: &'a NodeName,
        /// Its sequence.
        sequence: MessageSequence,
        /// As [`Target::oldest`].
        oldest: u64,
    },
}

impl TargetsRef<'_> {
    fn encode_into(self, into: &mut Vec<u8>) {
        match self {
            Self::Flood(sequence) => {
                into.push(0);
                sequence.encode_into(into);
            }
            Self::List(list) => {
                into.push(1);
                put_number(into, list.len() as u64);
                for target in list {
                    put_target(into, &target.name, target.sequence, target.oldest);
                }
            }
            Self::One { name, sequence, oldest } => {
                into.extend_from_slice(&[1, 1]);
                put_target(into, name, Some(sequence), oldest);
            }
        }
    }
}

fn put_target(into: &mut Vec<u8>, name: &NodeName, sequence: Option<MessageSequence>, oldest: u64) {
    put_name(into, name);
    into.push(u8::from(sequence.is_some()));
    if let Some(sequence) = sequence {
        sequence.encode_into(into);
    }
    put_number(into, oldest);
}

impl HeaderRef<'_> {
    /// Appends the header, and before it its length.
    pub fn encode_into(&self, into: &mut Vec<u8>) {
        let at = into.len();
        into.extend_from_slice(&[0; 2]);
        self.encode_fields(into);
        let length = into.len() - at - 2;
        assert!(length <= HEADER_BYTES_MAX, "invariant W2: no header is longer than its limit");
        into[at..at + 2].copy_from_slice(&(length as u16).to_le_bytes());
    }

    fn encode_fields(&self, into: &mut Vec<u8>) {
        put_name(into, self.source);
        put_number(into, self.instance.0);
        put_number(into, self.id);
        self.channel.encode_into(into);
        put_number(into, self.encoding.into());
        self.targets.encode_into(into);
        into.push(u8::from(self.chunk.is_some()));
        if let Some(Chunk { offset, total }) = self.chunk {
            put_number(into, offset);
            put_number(into, total);
        }
        put_number(into, self.route.len() as u64);
        for name in self.route {
            put_name(into, name);
        }
    }
}

/// A data frame: header and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFrame {
    /// What a relay reads.
    pub header: DataHeader,
    /// What it does not.
    pub body: Bytes,
}

impl DataFrame {
    /// The frame for the link. The body is shared, not copied.
    pub fn encode(&self) -> WireFrame {
        WireFrame::new(FrameKind::Data, self.body.clone(), |head| self.header.encode_into(head))
    }

    /// Reads the payload of a data frame. The body shares its bytes.
    ///
    /// # Errors
    /// What does not decode, or breaks a limit.
    pub fn decode(mut payload: Bytes) -> Result<Self, WireError> {
        if payload.len() < 2 {
            return Err(WireError::new("a data frame without a header"));
        }
        let length = usize::from(payload.get_u16_le());
        if length > payload.len() || length > HEADER_BYTES_MAX {
            return Err(WireError::new(format!("a header of {length} bytes")));
        }
        let header = DataHeader::decode(&payload[..length])?;
        payload.advance(length);
        header.check(payload.len())?;
        Ok(Self { header, body: payload })
    }
}

impl DataHeader {
    /// Appends the header, and before it its length.
    pub fn encode_into(&self, into: &mut Vec<u8>) {
        self.heading(&self.targets).encode_into(into);
    }

    /// The same header, to be written for these recipients.
    pub fn heading<'a>(&'a self, targets: &'a Targets) -> HeaderRef<'a> {
        HeaderRef {
            source: &self.source,
            instance: self.instance,
            id: self.id,
            channel: self.channel,
            encoding: self.encoding,
            targets: match targets {
                Targets::Flood(sequence) => TargetsRef::Flood(*sequence),
                Targets::List(list) => TargetsRef::List(list),
            },
            chunk: self.chunk,
            route: &self.route,
        }
    }

    /// Reads a header; whatever follows belongs to a later version.
    ///
    /// # Errors
    /// What does not decode. Limits are for [`DataHeader::check`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let fields = &mut FieldReader::new(bytes);
        let source = fields.name()?;
        let instance = Instance(fields.number()?);
        let id = fields.number()?;
        let channel = Channel::decode(fields)?;
        let encoding = fields.number()?;
        let encoding = u32::try_from(encoding).map_err(|_| unknown("encoding", encoding))?;
        let targets = Targets::decode(fields)?;
        let chunk = if fields.flag()? {
            Some(Chunk { offset: fields.number()?, total: fields.number()? })
        } else {
            None
        };
        let mut route = Names::new();
        for _ in 0..fields.number()? {
            route.push(fields.name_like(&source)?);
        }
        Ok(Self { source, instance, id, channel, encoding, targets, chunk, route })
    }

    fn sequences(&self) -> impl Iterator<Item = MessageSequence> {
        let (flood, list) = match &self.targets {
            Targets::Flood(sequence) => (Some(*sequence), &[][..]),
            Targets::List(list) => (None, list.as_slice()),
        };
        flood.into_iter().chain(list.iter().filter_map(|target| target.sequence))
    }

    pub(super) fn check(&self, body: usize) -> Result<(), WireError> {
        if self.route.is_empty() || self.route.len() > HOP_LIMIT {
            return Err(WireError::new(format!("a route of {} hops", self.route.len())));
        }
        if body > CHUNK_BYTES {
            return Err(WireError::new(format!("{body} bytes of body in one frame")));
        }
        if self.channel.large != self.chunk.is_some() {
            return Err(WireError::new("a chunk that is not of a large body"));
        }
        if !self
            .sequences()
            .all(|sequence| sequence.floor <= sequence.number && sequence.number < u64::MAX)
        {
            return Err(WireError::new("a sequence below its floor"));
        }
        if let Some(Chunk { offset, total }) = self.chunk {
            let end = offset.checked_add(body as u64);
            if body == 0 || end.is_none_or(|end| end > total) {
                return Err(WireError::new("a chunk beyond its body"));
            }
        }
        match &self.targets {
            Targets::Flood(_) if !self.channel.broadcast => {
                Err(WireError::new("a set sent to every node"))
            }
            Targets::Flood(_) => Ok(()),
            Targets::List(list) => {
                let bytes: usize = list.iter().map(|target| Target::bytes_max(&target.name)).sum();
                // A relay writes the list and the route again, with its own name: both must fit.
                if bytes > RECIPIENTS_BYTES_MAX {
                    return Err(WireError::new(format!("recipients of {bytes} bytes")));
                }
                Ok(())
            }
        }
    }
}

impl MessageSequence {
    fn encode_into(&self, into: &mut Vec<u8>) {
        put_number(into, self.number);
        put_number(into, self.floor);
    }

    fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(Self { number: fields.number()?, floor: fields.number()? })
    }
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 4] = [
        Self { broadcast: false, large: false },
        Self { broadcast: false, large: true },
        Self { broadcast: true, large: false },
        Self { broadcast: true, large: true },
    ];

    pub(super) fn encode_into(self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[self.broadcast.into(), self.large.into()]);
    }

    pub(super) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(Self { broadcast: fields.flag()?, large: fields.flag()? })
    }

    /// The channel that keeps order with this one: sets and broadcasts of one size do.
    #[must_use]
    pub fn sibling(self) -> Self {
        Self { broadcast: !self.broadcast, large: self.large }
    }

    /// Its place in [`Channel::ALL`].
    pub fn index(self) -> usize {
        usize::from(self.broadcast) * 2 + usize::from(self.large)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.broadcast, self.large) {
            (false, false) => "set",
            (false, true) => "large set",
            (true, false) => "broadcast",
            (true, true) => "large broadcast",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::PREFIX_BYTES;
    use bincode::enc::Encoder;
    use bincode::error::EncodeError;
    use smallvec::smallvec;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("valid")
    }

    fn header() -> DataHeader {
        DataHeader {
            source: name("a"),
            instance: Instance(1),
            id: 9,
            channel: Channel { broadcast: false, large: false },
            encoding: 1,
            targets: Targets::List(smallvec![
                Target {
                    name: name("b"),
                    sequence: Some(MessageSequence { number: 3, floor: 2 }),
                    oldest: 8
                },
                Target { name: name("c"), sequence: None, oldest: 0 },
            ]),
            chunk: None,
            route: name("a").into(),
        }
    }

    impl bincode::Encode for Targets {
        fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
            #[derive(bincode::Encode)]
            enum Shape<'a> {
                Flood(MessageSequence),
                List(&'a [Target]),
            }
            match self {
                Self::Flood(sequence) => Shape::Flood(*sequence).encode(encoder),
                Self::List(list) => Shape::List(list).encode(encoder),
            }
        }
    }

    impl bincode::Encode for Names {
        fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
            self.as_slice().encode(encoder)
        }
    }

    fn through_the_wire(frame: &DataFrame) -> Result<DataFrame, WireError> {
        let wire = frame.encode();
        DataFrame::decode(Bytes::from([&wire.head[PREFIX_BYTES..], &wire.body[..]].concat()))
    }

    #[test]
    fn a_data_frame_survives_the_wire() {
        let frame = DataFrame { header: header(), body: Bytes::from_static(b"hello") };
        assert_eq!(through_the_wire(&frame).as_ref(), Ok(&frame));
    }

    #[test]
    fn the_bytes_are_bincode_s() {
        fn theirs(value: &impl bincode::Encode) -> Vec<u8> {
            bincode::encode_to_vec(value, bincode::config::standard()).expect("encodes")
        }
        let sequence = MessageSequence { number: 300, floor: 70_000 };
        let lists = [
            Targets::Flood(sequence),
            Targets::List(TargetList::new()),
            Targets::List(smallvec![
                Target { name: name("b"), sequence: Some(sequence), oldest: 1 << 40 },
                Target { name: name(&"c".repeat(64)), sequence: None, oldest: 0 },
            ]),
        ];
        for targets in lists {
            for chunk in [None, Some(Chunk { offset: 251, total: u64::MAX })] {
                let channel = Channel { broadcast: true, large: chunk.is_some() };
                let route = vec![name("a"), name("b"), name("a")].into();
                let (targets, encoding) = (targets.clone(), u32::MAX);
                let header = DataHeader { channel, encoding, targets, chunk, route, ..header() };
                let mut ours = Vec::new();
                header.heading(&header.targets).encode_fields(&mut ours);
                assert_eq!(ours, theirs(&header));
                assert_eq!(DataHeader::decode(&ours), Ok(header));
            }
        }
        let one = Target { name: name("b"), sequence: Some(sequence), oldest: 5 };
        let (mut ours, target) = (Vec::new(), &one);
        TargetsRef::One { name: &target.name, sequence, oldest: 5 }.encode_into(&mut ours);
        assert_eq!(ours, theirs(&Targets::List(smallvec![one])));
    }

    #[test]
    fn headers_beyond_their_limits_are_refused() {
        let refused = |change: &dyn Fn(&mut DataFrame)| {
            let mut frame = DataFrame { header: header(), body: Bytes::from_static(b"x") };
            change(&mut frame);
            assert!(through_the_wire(&frame).is_err());
        };
        refused(&|f| f.header.route = Names::new());
        refused(&|f| f.header.route = vec![name("a"); HOP_LIMIT + 1].into());
        refused(&|f| f.body = Bytes::from(vec![0; CHUNK_BYTES + 1]));
        refused(&|f| f.header.chunk = Some(Chunk { offset: 0, total: 1 }));
        refused(&|f| f.header.targets = Targets::Flood(MessageSequence { number: 1, floor: 1 }));
        refused(&|f| {
            let target = Target { name: name("c"), sequence: None, oldest: 0 };
            let count = RECIPIENTS_BYTES_MAX / Target::bytes_max(&target.name) + 1;
            f.header.targets = Targets::List(vec![target; count].into());
        });
        refused(&|f| {
            f.header.channel.broadcast = true;
            f.header.targets = Targets::Flood(MessageSequence { number: 1, floor: 2 });
        });
        refused(&|f| {
            f.header.channel.large = true;
            f.header.chunk = Some(Chunk { offset: u64::MAX, total: 1 });
        });
    }

    #[test]
    fn what_a_relay_writes_of_the_longest_header_fits() {
        let longest = name(&"x".repeat(64));
        let sequence = Some(MessageSequence { number: u64::MAX - 1, floor: u64::MAX - 1 });
        let target = Target { name: longest.clone(), sequence, oldest: u64::MAX };
        let count = RECIPIENTS_BYTES_MAX / Target::bytes_max(&longest);
        let mut header = DataHeader {
            source: longest.clone(),
            instance: Instance(u64::MAX),
            id: u64::MAX,
            channel: Channel { broadcast: false, large: true },
            encoding: u32::MAX,
            targets: Targets::List(vec![target; count].into()),
            chunk: Some(Chunk { offset: u64::MAX - 1, total: u64::MAX }),
            route: vec![longest.clone(); HOP_LIMIT].into(),
        };
        assert_eq!(header.check(1), Ok(()));
        header.route.push(longest);
        header.encode_into(&mut Vec::new());
    }

    #[test]
    fn cut_and_garbled_frames_are_errors_and_never_panics() {
        let wire = DataFrame { header: header(), body: Bytes::from_static(b"hello") }.encode();
        let payload = [&wire.head[PREFIX_BYTES..], &wire.body[..]].concat();
        for end in 0..payload.len() - 5 {
            assert!(DataFrame::decode(Bytes::copy_from_slice(&payload[..end])).is_err());
        }
        for at in 0..payload.len() {
            let mut garbled = payload.clone();
            garbled[at] ^= 0xff;
            let _ = DataFrame::decode(garbled.into());
        }
    }
}
