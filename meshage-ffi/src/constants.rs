//! The constants of the header, each held to the core's.

use meshage::config;
use meshage::message::Encoding;
use meshage::name::LOLLIPOP_LENGTH;

/// As a time: wait for ever.
pub const MESHAGE_INFINITE: i32 = -1;
/// As a time: the node's own timeout (`meshage_config_timeout`).
pub const MESHAGE_DEFAULT: i32 = -2;

/// How long a send waits for acknowledgements, in milliseconds.
pub const MESHAGE_DEFAULT_TIMEOUT_MS: i32 = 10000;
/// How often a node announces its links though nothing changed, in milliseconds.
pub const MESHAGE_DEFAULT_MSA_TIMEOUT_MS: i32 = 10000;
/// The port of the mesh, TCP and UDP.
pub const MESHAGE_DEFAULT_PORT: i32 = 9000;
/// How many messages wait for the application at most.
pub const MESHAGE_RECEIVE_BUFFER: i32 = 1024;
/// Up to this many nodes in the mesh, every eligible one answers a solicitation.
pub const MESHAGE_SOLICIT_LIMIT: i32 = 16;
/// In a larger mesh one node in so many answers.
pub const MESHAGE_SOLICIT_RATIO: i32 = 8;
/// Announcement sequences up to this one are used once after a start.
pub const MESHAGE_LOLLIPOP_LENGTH: i32 = 16;

const _: () = {
    assert!(MESHAGE_DEFAULT_TIMEOUT_MS as u128 == config::DEFAULT_TIMEOUT.as_millis());
    assert!(MESHAGE_DEFAULT_MSA_TIMEOUT_MS as u128 == config::DEFAULT_MSA_TIMEOUT.as_millis());
    assert!(MESHAGE_DEFAULT_PORT == config::DEFAULT_PORT as i32);
    assert!(MESHAGE_RECEIVE_BUFFER as usize == config::RECEIVE_BUFFER);
    assert!(MESHAGE_SOLICIT_LIMIT as usize == config::SOLICIT_LIMIT);
    assert!(MESHAGE_SOLICIT_RATIO as u32 == config::SOLICIT_RATIO);
    assert!(MESHAGE_LOLLIPOP_LENGTH as u32 == LOLLIPOP_LENGTH);
};

/// How a body is to be read. It is carried with the message and never interpreted in transit.
/// Values from 1024 on belong to applications.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum meshage_encoding {
    /// Bytes, meaning whatever the programs agreed on.
    MESHAGE_ENCODING_BYTES = 0,
    /// UTF-8 text.
    MESHAGE_ENCODING_TEXT = 1,
    /// JSON, in UTF-8.
    MESHAGE_ENCODING_JSON = 2,
    /// A serde value in bincode's standard configuration.
    MESHAGE_ENCODING_BINCODE = 3,
    /// A Go interface value in encoding/gob.
    MESHAGE_ENCODING_GOB = 4,
}

const _: () = {
    assert!(meshage_encoding::MESHAGE_ENCODING_BYTES as u32 == Encoding::BYTES.0);
    assert!(meshage_encoding::MESHAGE_ENCODING_TEXT as u32 == Encoding::TEXT.0);
    assert!(meshage_encoding::MESHAGE_ENCODING_JSON as u32 == Encoding::JSON.0);
    assert!(meshage_encoding::MESHAGE_ENCODING_BINCODE as u32 == Encoding::BINCODE.0);
    assert!(meshage_encoding::MESHAGE_ENCODING_GOB as u32 == Encoding::GOB.0);
};
