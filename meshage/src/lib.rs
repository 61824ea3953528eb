//! Mesh message passing.

#[cfg(feature = "net")]
pub mod blocking;
pub mod config;
pub mod error;
pub mod event;
pub mod forward;
pub mod message;
pub mod name;
#[cfg(feature = "net")]
pub mod node;
pub mod protocol;
pub mod route;
pub mod stats;
pub mod topology;
pub mod wire;
