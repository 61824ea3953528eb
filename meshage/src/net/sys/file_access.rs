//! Who may read a file.

use std::io;
use std::path::Path;

/// Whether only the owner of a file has the right to read or write it. Where the system has no such
/// rights, as on Windows, the answer is yes.
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    let metadata = std::fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(metadata.permissions().mode() & 0o077 == 0)
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok(true)
    }
}
