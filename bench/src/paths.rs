//! Paths of the project and of its build output.

use std::path::{Path, PathBuf};

/// The folders of the project and of its build output.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The top folder of the project.
    pub(crate) root: PathBuf,
    /// The folder of all build output.
    pub(crate) target: PathBuf,
}

impl Paths {
    /// The paths of the project that this program was built from.
    pub(crate) fn find() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().unwrap_or(here).to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(elsewhere) => root.join(elsewhere),
            None => root.join("target"),
        };
        Self { root, target }
    }

    /// Makes the paths in a text relative to the project, because reports are read on other
    /// machines.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.root.display()), "")
    }

    /// A program that cargo built in release mode.
    pub(crate) fn release(&self, program: &str) -> PathBuf {
        self.target.join("release").join(program)
    }

    /// The build folder of the peers. It is separate, so that lock files and caches do not mix.
    pub(crate) fn peers(&self) -> PathBuf {
        self.target.join("bench-peers")
    }

    /// The folder of the certificate that peers with TLS use.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.target.join("bench-tls")
    }

    /// The Python environment of the bench.
    pub(crate) fn venv(&self) -> PathBuf {
        self.target.join("bench-venv")
    }

    /// The folder of the report.
    pub(crate) fn report_folder(&self) -> PathBuf {
        self.root.join("docs/bench")
    }
}
