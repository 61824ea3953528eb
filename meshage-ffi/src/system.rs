//! What differs between operating systems in this library.

use std::os::raw::c_int;

use meshage::RawDescriptor;

use crate::failure::Failure;

/// A descriptor as C programs wait for it: it is a C `int` on Unix.
#[cfg(unix)]
pub(crate) fn c_descriptor(descriptor: RawDescriptor) -> Result<c_int, Failure> {
    Ok(descriptor)
}

/// A descriptor as C programs wait for it. A `SOCKET` of Windows is larger than an `int`, although
/// its values are small.
#[cfg(not(unix))]
pub(crate) fn c_descriptor(descriptor: RawDescriptor) -> Result<c_int, Failure> {
    use crate::status::meshage_status::MESHAGE_ERR_IO;

    c_int::try_from(descriptor).map_err(|_| {
        let text = format!("the socket {descriptor} does not fit into an int");
        Failure::new(MESHAGE_ERR_IO, text)
    })
}
