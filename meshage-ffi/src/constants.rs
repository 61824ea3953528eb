//! The constants of the header. Each is compared with the core's at compile time.

use meshage::config;
use meshage::message::Encoding;
use meshage::name::LOLLIPOP_LENGTH;

/// As a time: wait without limit.
pub const MESHAGE_INFINITE: i32 = -1;
/// As a time: the node's own timeout, see `meshage_config_timeout`.
pub const MESHAGE_DEFAULT: i32 = -2;

/// The default for how long a send waits for acknowledgements, in milliseconds.
pub const MESHAGE_DEFAULT_TIMEOUT_MS: i32 = 10000;
/// The default interval at which a node compares what it knows of the mesh with its peers, in
/// milliseconds.
pub const MESHAGE_DEFAULT_MSA_TIMEOUT_MS: i32 = 10000;
/// The default port of the mesh, TCP and UDP.
pub const MESHAGE_DEFAULT_PORT: i32 = 9000;
/// The default capacity of the receive queue, in messages.
pub const MESHAGE_RECEIVE_BUFFER: i32 = 1024;
/// On a mesh of up to this many nodes, every eligible node responds to a solicitation.
pub const MESHAGE_SOLICIT_LIMIT: i32 = 16;
/// On a larger mesh, one eligible node in this many responds to a solicitation.
pub const MESHAGE_SOLICIT_RATIO: i32 = 8;
/// Announcement sequences up to this value are used once, after a start.
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

/// The encoding of a body. It is sent with the message and not interpreted in transit. Values from
/// 1024 upwards are reserved for applications.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum meshage_encoding {
    /// Bytes in a format that the programs have agreed on.
    MESHAGE_ENCODING_BYTES = 0,
    /// UTF-8 text.
    MESHAGE_ENCODING_TEXT = 1,
    /// JSON, in UTF-8.
    MESHAGE_ENCODING_JSON = 2,
    /// A serde value, encoded in bincode's standard configuration.
    MESHAGE_ENCODING_BINCODE = 3,
    /// A Go interface value, encoded by encoding/gob.
    MESHAGE_ENCODING_GOB = 4,
}

const _: () = {
    assert!(meshage_encoding::MESHAGE_ENCODING_BYTES as u32 == Encoding::BYTES.0);
    assert!(meshage_encoding::MESHAGE_ENCODING_TEXT as u32 == Encoding::TEXT.0);
    assert!(meshage_encoding::MESHAGE_ENCODING_JSON as u32 == Encoding::JSON.0);
    assert!(meshage_encoding::MESHAGE_ENCODING_BINCODE as u32 == Encoding::BINCODE.0);
    assert!(meshage_encoding::MESHAGE_ENCODING_GOB as u32 == Encoding::GOB.0);
};
