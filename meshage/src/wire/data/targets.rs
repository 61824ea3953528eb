//! The recipients of one copy of a message, as its header lists them.

use smallvec::SmallVec;

use super::channel::MessageSequence;
use crate::name::NodeName;
use crate::wire::WireError;
use crate::wire::field_codec::{FieldReader, NUMBER_BYTES_MAX, put_name, put_number, unknown};

/// The most bytes of recipients in one frame, each counted at its maximum length. A longer list is
/// split over several frames.
pub const RECIPIENTS_BYTES_MAX: usize = 3 << 10;

/// One recipient of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct Target {
    /// The node.
    pub name: NodeName,
    /// The sequence for this recipient; `None` if another copy of the message goes to it.
    pub sequence: Option<MessageSequence>,
    /// The id of the oldest message that the source still has outstanding for this recipient, in
    /// this channel or its [sibling](super::Channel::sibling).
    pub oldest: u64,
}

impl Target {
    /// The most bytes that a recipient of this name takes in a header: the name and its length, the
    /// flag for a sequence, and three numbers of the maximum length.
    pub fn bytes_max(name: &NodeName) -> usize {
        1 + name.as_str().len() + 1 + 3 * NUMBER_BYTES_MAX
    }
}

/// The recipients of one copy of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every node behind this link in the source's tree.
    Flood(MessageSequence),
    /// The entries that have a sequence are the recipients of this copy.
    List(TargetList),
}

/// The recipients of a set. A single entry is stored inline.
pub type TargetList = SmallVec<[Target; 1]>;

impl Targets {
    pub(super) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        match fields.number()? {
            0 => Ok(Self::Flood(MessageSequence::decode(fields)?)),
            1 => {
                // The list grows with the entries that are present, not with the claimed length.
                let mut list = TargetList::new();
                for _ in 0..fields.number()? {
                    let name = fields.name()?;
                    let sequence =
                        if fields.flag()? { Some(MessageSequence::decode(fields)?) } else { None };
                    list.push(Target { name, sequence, oldest: fields.number()? });
                }
                Ok(Self::List(list))
            }
            other => Err(unknown("unknown kind of recipient list:", other)),
        }
    }
}

/// [`Targets`] to encode, borrowed.
#[derive(Debug, Clone, Copy)]
pub enum TargetsRef<'a> {
    /// Every node behind this link in the source's tree.
    Flood(MessageSequence),
    /// The entries that have a sequence are the recipients of this copy.
    List(&'a [Target]),
    /// A list with this one recipient.
    One {
        /// The node.
        name: &'a NodeName,
        /// The sequence for this recipient.
        sequence: MessageSequence,
        /// See [`Target::oldest`].
        oldest: u64,
    },
}

impl TargetsRef<'_> {
    pub(super) fn encode_into(self, into: &mut Vec<u8>) {
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
