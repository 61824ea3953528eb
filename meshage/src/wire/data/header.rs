//! The header of a data frame: what a relay reads of a message.

use super::channel::{Channel, MessageSequence};
use super::targets::{RECIPIENTS_BYTES_MAX, Target, Targets, TargetsRef};
use crate::name::{Instance, Names, NodeName};
use crate::wire::WireError;
use crate::wire::field_codec::{FieldReader, put_name, put_number, unknown};
use crate::wire::frame::FRAME_BYTES_MAX;

/// The most links that a message may cross: 64. A path of that length is a loop.
pub const HOP_LIMIT: usize = 64;
/// The most bytes of a header. Recipients of [`RECIPIENTS_BYTES_MAX`] and 64 hops with names of the
/// maximum length fit.
pub const HEADER_BYTES_MAX: usize = 8 << 10;
/// The most bytes of a body in one frame. A longer body is sent in chunks of this size.
pub const CHUNK_BYTES: usize = FRAME_BYTES_MAX - HEADER_BYTES_MAX - 16;

/// The part of a large body that a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct Chunk {
    /// The position of the chunk's first byte in the body.
    pub offset: u64,
    /// The length of the body.
    pub total: u64,
}

/// The header of a data frame. A relay reads it, but not the body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct DataHeader {
    /// The node that sent it.
    pub source: NodeName,
    /// The instance of the source.
    pub instance: Instance,
    /// The message's id, unique at its source instance.
    pub id: u64,
    /// The ordering domain.
    pub channel: Channel,
    /// The encoding of the body.
    pub encoding: u32,
    /// The recipients of this copy.
    pub targets: Targets,
    /// The part of the body in this frame; `None` if the frame carries all of it.
    pub chunk: Option<Chunk>,
    /// The nodes that sent it over a link, the source first.
    pub route: Names,
}

/// A [`DataHeader`] to encode, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct HeaderRef<'a> {
    /// The node that sent it.
    pub source: &'a NodeName,
    /// The instance of the source.
    pub instance: Instance,
    /// The message's id, unique at its source instance.
    pub id: u64,
    /// The ordering domain.
    pub channel: Channel,
    /// The encoding of the body.
    pub encoding: u32,
    /// The recipients of this copy.
    pub targets: TargetsRef<'a>,
    /// The part of the body in this frame; `None` if the frame carries all of it.
    pub chunk: Option<Chunk>,
    /// The nodes that sent it over a link, the source first.
    pub route: &'a [NodeName],
}

impl HeaderRef<'_> {
    /// Appends the header's length and the header.
    pub fn encode_into(&self, into: &mut Vec<u8>) {
        let at = into.len();
        into.extend_from_slice(&[0; 2]);
        self.encode_fields(into);
        let length = into.len() - at - 2;
        assert!(length <= HEADER_BYTES_MAX, "invariant W2: no header is longer than its limit");
        into[at..at + 2].copy_from_slice(&(length as u16).to_le_bytes());
    }

    pub(super) fn encode_fields(&self, into: &mut Vec<u8>) {
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

impl DataHeader {
    /// Appends the header's length and the header.
    pub fn encode_into(&self, into: &mut Vec<u8>) {
        self.with_targets(&self.targets).encode_into(into);
    }

    /// Borrows this header with other recipients.
    pub fn with_targets<'a>(&'a self, targets: &'a Targets) -> HeaderRef<'a> {
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

    /// Decodes a header. Bytes after it belong to a later version and are ignored.
    ///
    /// # Errors
    /// [`WireError`] if the bytes do not decode. Limits are checked by [`DataHeader::check`].
    pub(in crate::wire) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let fields = &mut FieldReader::new(bytes);
        let source = fields.name()?;
        let instance = Instance(fields.number()?);
        let id = fields.number()?;
        let channel = Channel::decode(fields)?;
        let encoding = fields.number()?;
        let encoding =
            u32::try_from(encoding).map_err(|_| unknown("unknown encoding:", encoding))?;
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

    /// Checks the limits of a header that precedes `body` bytes.
    pub(in crate::wire) fn check(&self, body: usize) -> Result<(), WireError> {
        if self.route.is_empty() || self.route.len() > HOP_LIMIT {
            return Err(WireError::new(format!("a route of {} hops", self.route.len())));
        }
        if body > CHUNK_BYTES {
            return Err(WireError::new(format!("{body} bytes of body in one frame")));
        }
        if self.channel.large != self.chunk.is_some() {
            return Err(WireError::new("the channel and the chunk field do not match"));
        }
        if !self.sequences().all(|sequence| sequence.number < u64::MAX) {
            return Err(WireError::new("a sequence number beyond the largest one"));
        }
        if let Some(Chunk { offset, total }) = self.chunk {
            let end = offset.checked_add(body as u64);
            if body == 0 || end.is_none_or(|end| end > total) {
                return Err(WireError::new("a chunk that is empty or exceeds its body"));
            }
        }
        match &self.targets {
            Targets::Flood(_) if !self.channel.broadcast => {
                Err(WireError::new("a flooded frame in the channel of a set"))
            }
            Targets::Flood(_) => Ok(()),
            Targets::List(list) => {
                let bytes: usize = list.iter().map(|target| Target::bytes_max(&target.name)).sum();
                // A relay encodes the list and the route again and adds its own name. Both must
                // fit.
                if bytes > RECIPIENTS_BYTES_MAX {
                    return Err(WireError::new(format!("recipients of {bytes} bytes")));
                }
                Ok(())
            }
        }
    }
}
