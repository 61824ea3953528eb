//! The outstanding sends of this node: each is tracked until it has an outcome for every recipient.
//!
//! ```text
//!  send ──► submit ──┬── fast_path: one small message to one recipient, sent at once
//!                    └── transmit: the general case, link by link, window by window
//!                               ▲                   │ frames
//!  acknowledgement ─────────────┘                   ▼
//!  (acknowledgements, refusals, routes, deadlines)  outbound
//! ```
//!
//! A send becomes one **entry** per recipient, in the flow to that recipient. A message goes over a
//! link as one **transmission**: frame by frame, for all the recipients behind that link at once. A
//! transmission that cannot continue (the link's queue or a window is full) waits, and blocks
//! nothing else.
//!
//! Nothing here waits or calls back. Completed sends are collected in
//! [`OutstandingSends::completed`].

mod acknowledgement;
pub mod channel_flow;
pub mod congestion;
mod fast_path;
mod first_numbers;
pub mod flow;
mod outstanding;
mod send_table;
mod submit;
mod transmission;
mod transmit;

pub use self::first_numbers::FirstNumbers;
pub use self::outstanding::{OutstandingSends, SEND_BYTES_MAX};
