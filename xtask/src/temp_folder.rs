//! Temporary folders outside the tree.

use std::path::{Path, PathBuf};

use crate::random;
use crate::shell::{self, Result};

/// An empty folder outside the tree. Dropping the value removes it.
#[derive(Debug)]
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    /// Creates a folder. Its name contains the purpose.
    pub(crate) fn new(purpose: &str) -> Result<Self> {
        let name = format!("meshage-{purpose}-{:016x}", random::number());
        let folder = Self(std::env::temp_dir().join(name));
        shell::create_empty_folder(folder.path()).map(|()| folder)
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
