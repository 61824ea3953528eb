//! Messages on a link.
//!
//! ```text
//!  data frame: prefix | header length: u16 | DataHeader | body, or a chunk of it
//! ```
//!
//! A message belongs to one of four **channels**: set or broadcast, small or large. A source
//! numbers the messages of each channel, those of a set channel separately for each recipient. A
//! message carries its **sequence number** in the channel and the **floor**: the source has given
//! up, or has an outcome for, every message below it. From these two numbers a receiver determines
//! whether a message is the next one, a duplicate, or too early.
//!
//! A set and a broadcast of the same size also keep their order: a receiver that refused one
//! message of a source refuses the messages that the source sent after it, until the refused
//! message arrives or the source reports that it was given up.

mod channel;
mod data_frame;
mod header;
mod targets;
#[cfg(test)]
mod tests;

pub use channel::{Channel, MessageSequence};
pub use data_frame::DataFrame;
pub use header::{CHUNK_BYTES, Chunk, DataHeader, HEADER_BYTES_MAX, HOP_LIMIT, HeaderRef};
pub use targets::{RECIPIENTS_BYTES_MAX, Target, TargetList, Targets, TargetsRef};
