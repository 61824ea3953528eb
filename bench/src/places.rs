//! Where things are.

use std::path::{Path, PathBuf};

/// The folders of the project and of what is built from it.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The top folder.
    pub(crate) root: PathBuf,
    /// Where everything that is built goes.
    pub(crate) target: PathBuf,
}

impl Places {
    /// Those of the project that this program was built from.
    pub(crate) fn find() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().unwrap_or(here).to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(elsewhere) => root.join(elsewhere),
            None => root.join("target"),
        };
        Self { root, target }
    }

    /// A text with the paths in it relative to the project: a report is read elsewhere.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.root.display()), "")
    }

    /// A program that cargo built for release.
    pub(crate) fn release(&self, program: &str) -> PathBuf {
        self.target.join("release").join(program)
    }

    /// Where the peers are built: apart, so that neither lock nor cache mixes with ours.
    pub(crate) fn peers(&self) -> PathBuf {
        self.target.join("bench-peers")
    }

    /// The Python environment of the bench.
    pub(crate) fn venv(&self) -> PathBuf {
        self.target.join("bench-venv")
    }

    /// Where the report goes.
    pub(crate) fn report(&self) -> PathBuf {
        self.root.join("docs/bench")
    }
}
