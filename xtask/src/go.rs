//! The Go toolchain, and the Go node for the demo. Everything in Go is skipped if Go is not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result};

/// The folder of the Go package.
pub(crate) const FOLDER: &str = "meshage-go";
/// The folder of the bench's Go worker, which is formatted and vetted as well.
pub(crate) const BENCH: &str = "bench/go";
/// The folder of the driver, which is formatted and vetted as well.
pub(crate) const DRIVER: &str = "xtask/drivers/go";
/// The reason why the Go part cannot run, or `None` if it can.
pub(crate) fn unavailable_reason() -> Option<&'static str> {
    if shell::is_installed("go") { None } else { Some("Go is not installed") }
}

/// The `CGO_CFLAGS` for builds against an installed copy whose folder differs from run to run.
///
/// The key of Go's build cache contains these flags, but not the output of pkg-config. With the usual
/// flags, Go would use the library folder of an earlier run.
pub(crate) fn cgo_flags(copy: &Path) -> String {
    let name = copy.file_name().unwrap_or_default().to_string_lossy().replace('-', "_");
    format!("-O2 -g -Dcopy_of_{name}")
}

/// Builds the node of the demo. The library must have been built before.
pub(crate) fn demo_node(root: &Path) -> Result<PathBuf> {
    let program = shell::target(root).join("demo_node_go");
    let mut build = go(root, FOLDER, &["build", "-tags", "meshage_tree", "-o"]);
    shell::run_quietly(build.arg(&program).arg("./examples/demo_node"))?;
    Ok(program)
}

/// Builds a program of the tree against the library, which must have been built before.
pub(crate) fn build_program(root: &Path, folder: &str, program: &Path) -> Result<()> {
    let mut build = go(root, folder, &["build", "-tags", "meshage_tree", "-o"]);
    shell::run_quietly(build.arg(program).arg(".")).map(|_| ())
}

/// The command `go` in a folder of the project.
pub(crate) fn go(root: &Path, folder: &str, arguments: &[&str]) -> Command {
    let mut command = shell::command(root, "go");
    command.current_dir(root.join(folder)).args(arguments);
    // cargo's library search path would find the library of another profile first.
    command.env_remove("LD_LIBRARY_PATH");
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        let release = shell::target(root).join("release");
        let release = release.display();
        command.env("CGO_LDFLAGS", format!("-L{release} -Wl,-rpath,{release}"));
    }
    command
}
