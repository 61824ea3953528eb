//! The destination of an installation.

use std::path::{Path, PathBuf};

/// The default folder of the libraries, relative to the prefix.
pub(super) const LIBDIR: &str = "lib";

/// The folders of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstallPaths {
    /// The prefix that programs will use.
    pub(crate) prefix: PathBuf,
    /// The absolute folder of the libraries.
    pub(crate) libdir: PathBuf,
    /// The folder in front of all paths while a package is built (DESTDIR).
    pub(crate) destdir: Option<PathBuf>,
}

impl InstallPaths {
    /// The default folders below a prefix.
    pub(crate) fn below(prefix: impl Into<PathBuf>) -> Self {
        let prefix = prefix.into();
        Self { libdir: prefix.join(LIBDIR), prefix, destdir: None }
    }

    /// The path to write a file to that programs will find at `path`.
    pub(super) fn staged(&self, path: &Path) -> PathBuf {
        match (&self.destdir, path.strip_prefix("/")) {
            (Some(destdir), Ok(below)) => destdir.join(below),
            (Some(_) | None, _) => path.to_path_buf(),
        }
    }
}
