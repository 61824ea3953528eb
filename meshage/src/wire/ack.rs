//! Acknowledgements on a link.

use bytes::Bytes;
use smallvec::SmallVec;

use super::WireError;
use super::data::Channel;
use super::field_codec::{FieldReader, put_name, put_number, unknown};
use super::frame::{FrameKind, WireFrame};
use crate::name::{Instance, NodeName};

/// How many acknowledgements one frame holds at most: 256 of at most 180 bytes stay within a frame.
pub const ACK_ENTRIES_MAX: usize = 256;

/// Why a message was refused. All are certain: it was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(bincode::Encode))]
pub enum Refusal {
    /// A queue is full: the receiver's, or one on the way.
    Busy,
    /// An earlier message of the channel has not arrived: sent again in order, it will be taken.
    Early,
    /// No way on from here.
    NoRoute,
    /// Larger than the receiver takes.
    TooLarge,
    /// So far behind that it cannot be told whether it was delivered.
    Stale,
}

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub enum Verdict {
    /// Every message of the channel below this number is in the receiver's queue, or was given up by
    /// the source.
    Delivered {
        /// The number the receiver takes next.
        next: u64,
    },
    /// This one was refused.
    Refused {
        /// Its number.
        number: u64,
        /// Why.
        refusal: Refusal,
    },
    /// So much of a large body has come.
    Progress {
        /// Its number.
        number: u64,
        /// Bytes of it so far.
        received: u64,
    },
    /// There is room again after a refusal.
    Ready,
    /// The other way round: the source of messages asks the recipient what it has, since no
    /// acknowledgement came. Answered by [`Verdict::Delivered`].
    Query,
}

/// One acknowledgement on its way back to the source of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct AckEntry {
    /// Where the acknowledgement goes: the source of the message (a query: the recipient).
    pub to: Instance,
    /// The recipient it speaks for (a query: the source that asks).
    pub from: NodeName,
    /// The life of `from` that speaks; `None` where a relay speaks for it.
    pub by: Option<Instance>,
    /// The channel.
    pub channel: Channel,
    /// What happened.
    pub verdict: Verdict,
    /// How many links it has crossed.
    pub hops: u8,
}

/// A batch of acknowledgements for one next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckFrame {
    /// In the order they were given.
    pub entries: SmallVec<[AckEntry; 1]>,
}

impl AckEntry {
    fn encode_into(&self, into: &mut Vec<u8>) {
        put_number(into, self.to.0);
        put_name(into, &self.from);
        into.push(u8::from(self.by.is_some()));
        if let Some(by) = self.by {
            put_number(into, by.0);
        }
        self.channel.encode_into(into);
        match self.verdict {
            Verdict::Delivered { next } => {
                into.push(0);
                put_number(into, next);
            }
            Verdict::Refused { number, refusal } => {
                into.push(1);
                put_number(into, number);
                into.push(refusal as u8);
            }
            Verdict::Progress { number, received } => {
                into.push(2);
                put_number(into, number);
                put_number(into, received);
            }
            Verdict::Ready => into.push(3),
            Verdict::Query => into.push(4),
        }
        into.push(self.hops);
    }

    fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            to: Instance(fields.number()?),
            from: fields.name()?,
            by: if fields.flag()? { Some(Instance(fields.number()?)) } else { None },
            channel: Channel::decode(fields)?,
            verdict: match fields.number()? {
                0 => Verdict::Delivered { next: fields.number()? },
                1 => {
                    let number = fields.number()?;
                    let refusal = Refusal::decode(fields)?;
                    Verdict::Refused { number, refusal }
                }
                2 => {
                    let number = fields.number()?;
                    Verdict::Progress { number, received: fields.number()? }
                }
                3 => Verdict::Ready,
                4 => Verdict::Query,
                other => return Err(unknown("a verdict of kind", other)),
            },
            hops: fields.byte()?,
        })
    }
}

impl Refusal {
    fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match fields.number()? {
            0 => Self::Busy,
            1 => Self::Early,
            2 => Self::NoRoute,
            3 => Self::TooLarge,
            4 => Self::Stale,
            other => return Err(unknown("a refusal of kind", other)),
        })
    }
}

impl AckFrame {
    /// The frame for the link.
    pub fn encode(&self) -> WireFrame {
        WireFrame::new(FrameKind::Ack, Bytes::new(), |head| self.encode_into(head))
    }

    /// Appends the payload.
    pub fn encode_into(&self, into: &mut Vec<u8>) {
        assert!(self.entries.len() <= ACK_ENTRIES_MAX, "invariant W3: an ack frame has its limit");
        put_number(into, self.entries.len() as u64);
        for entry in &self.entries {
            entry.encode_into(into);
        }
    }

    /// Reads the payload of an acknowledgement frame.
    ///
    /// # Errors
    /// What does not decode, or breaks a limit.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let fields = &mut FieldReader::new(payload);
        let count = fields.number()?;
        if count > ACK_ENTRIES_MAX as u64 {
            return Err(unknown("so many acknowledgements:", count));
        }
        let entries: Result<_, _> = (0..count).map(|_| AckEntry::decode(fields)).collect();
        Ok(Self { entries: entries? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::PREFIX_BYTES;
    use smallvec::smallvec;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("valid")
    }

    #[test]
    fn the_bytes_are_bincode_s() {
        let refusals =
            [Refusal::Busy, Refusal::Early, Refusal::NoRoute, Refusal::TooLarge, Refusal::Stale];
        let refused = refusals.map(|refusal| Verdict::Refused { number: 251, refusal });
        let others = [
            Verdict::Delivered { next: 1 << 33 },
            Verdict::Progress { number: 1, received: 9_999 },
            Verdict::Ready,
            Verdict::Query,
        ];
        for verdict in refused.into_iter().chain(others) {
            for by in [None, Some(Instance(u64::MAX))] {
                let channel = Channel { broadcast: false, large: true };
                let entry =
                    AckEntry { to: Instance(7), from: name("b"), by, channel, verdict, hops: 255 };
                let mut ours = Vec::new();
                entry.encode_into(&mut ours);
                let theirs = bincode::encode_to_vec(&entry, bincode::config::standard());
                assert_eq!(Ok(&ours), theirs.as_ref().map_err(|_| ()));
                assert_eq!(AckEntry::decode(&mut FieldReader::new(&ours)), Ok(entry));
            }
        }
    }

    #[test]
    fn a_full_frame_of_the_longest_acknowledgements_fits() {
        let entry = AckEntry {
            to: Instance(u64::MAX),
            from: name(&"x".repeat(64)),
            by: Some(Instance(u64::MAX)),
            channel: Channel { broadcast: true, large: true },
            verdict: Verdict::Progress { number: u64::MAX, received: u64::MAX },
            hops: u8::MAX,
        };
        let frame = AckFrame { entries: smallvec![entry; ACK_ENTRIES_MAX] };
        let wire = frame.encode();
        assert_eq!(AckFrame::decode(&wire.head[PREFIX_BYTES..]).as_ref(), Ok(&frame));
    }
}
