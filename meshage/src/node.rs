//! The asynchronous API of a node.
//!
//! A [`Node`] is a handle on the tasks that `net/` runs. Sends and receives go directly to the data
//! plane; everything else is a request to the control task.

mod drop_guard;
mod events;
mod handle;
mod keys;
mod pending;
mod receive;
mod send;
mod wait;

pub use self::events::Events;
pub use self::handle::Node;
pub use self::keys::Keys;
pub use self::pending::Pending;
pub use self::receive::Messages;
pub use self::wait::WaitCondition;
pub use crate::net::events::EVENTS_MAX;
