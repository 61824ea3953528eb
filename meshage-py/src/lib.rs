//! The native half of the Python module: `meshage._meshage`.
//!
//! Each method converts its arguments, calls the core once, and converts the result. The public
//! Python API (the two node classes, exceptions, the mesh) is written in Python, in
//! `python/meshage/`. This module holds no state of the mesh and makes no decisions about it.
//!
//! ```text
//!   Node (blocking) ──┐                        ┌── block.rs: waits in slices, so that Ctrl-C works
//!                     ├── core.rs ── reply.rs ─┤
//!   AsyncNode ────────┘                        └── completions.rs: wakes the event loop
//! ```
//!
//! Both classes poll the futures of the asynchronous core on the caller's thread. Python objects
//! are created on that thread, which already holds the interpreter. The core's own threads never
//! touch the interpreter.

mod block;
mod clock;
mod completions;
mod convert;
mod core;
mod errors;
mod events;
mod handle;
mod keys;
mod log;
mod message;
mod queue;
mod reply;
mod sending;
mod snoop;
mod system;

use pyo3::prelude::*;

// The module needs no global interpreter lock. Its classes are frozen: their state is behind mutexes
// and atomic values, which are held neither during a call of Python code nor during a wait.
#[pymodule(gil_used = false)]
mod _meshage {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::block::drain_waits;
    #[pymodule_export]
    use crate::completions::Completions;
    #[pymodule_export]
    use crate::core::Core;
    #[pymodule_export]
    use crate::events::EventStream;
    #[pymodule_export]
    use crate::keys::{generate_key, key_id};
    #[pymodule_export]
    use crate::log::LogQueue;
    #[pymodule_export]
    use crate::message::{Message, restore_message};
    #[pymodule_export]
    use crate::sending::Sending;
    #[pymodule_export]
    use crate::snoop::SnoopQueue;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::errors::look_up(module.py())?;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))
    }
}
