//! The native half of the Python module: `meshage._meshage`.
//!
//! It converts, calls the core once, and converts back; what a Python programmer sees (the two node
//! classes, exceptions, the mesh) is written in Python, in `python/meshage/`. It holds no state of
//! the mesh and decides nothing about it.
//!
//! ```text
//!   Node (blocking) ──┐                        ┌── block.rs: waits in slices, so that Ctrl-C works
//!                     ├── core.rs ── reply.rs ─┤
//!   AsyncNode ────────┘                        └── completions.rs: wakes the loop by a descriptor
//! ```
//!
//! Both faces drive the futures of the asynchronous core themselves, from the caller's thread. A
//! Python object is made by the caller who asked for it, who holds the interpreter already; a thread
//! of the core never touches the interpreter.

mod block;
mod completions;
mod convert;
mod core;
mod errors;
mod events;
mod held;
mod log;
mod message;
mod queue;
mod reply;
mod sending;
mod snoop;

use pyo3::prelude::*;

#[pymodule]
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
