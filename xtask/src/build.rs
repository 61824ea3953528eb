//! Builds the programs for the demo and the process tests: the library, the node programs, the wheel.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result};
use crate::{go, python};

/// The built node programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    target: PathBuf,
    root: PathBuf,
    python: PathBuf,
    /// `None` if Go is not installed.
    go: Option<PathBuf>,
}

/// The language of a node program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// meshage/examples/demo_node.rs
    Rust,
    /// examples-c/demo_node.c
    C,
    /// meshage-py/examples/demo_node.py
    Python,
    /// meshage-go/examples/demo_node/main.go
    Go,
}

impl Programs {
    /// Builds all node programs.
    pub(crate) fn build(root: &Path) -> Result<Self> {
        let _build_lock = shell::lock_build(root)?;
        println!("building the library and the Rust node");
        let build = ["build", "--release", "-p", "meshage-ffi", "-p", "meshage"];
        shell::run(shell::cargo(root, &build).args(["--example", "demo_node", "--lib"]))?;
        println!("building the C node");
        let target = shell::target(root);
        compile(root, "demo_node.c", &target.join("demo_node_c"))?;
        println!("building the wheel");
        let python = python::install_wheel(root)?;
        let go = match go::unavailable_reason() {
            None => {
                println!("building the Go node");
                Some(go::demo_node(root)?)
            }
            Some(because) => {
                println!("skipped: the Go node because {because}");
                None
            }
        };
        Ok(Self { root: root.to_path_buf(), target, python, go })
    }

    /// Whether there is a node program in this language. Go may not be installed.
    pub(crate) fn has(&self, language: Language) -> bool {
        language != Language::Go || self.go.is_some()
    }

    /// The command that runs an example of the Python package, without arguments.
    pub(crate) fn python(&self, root: &Path, example: &str) -> Command {
        let mut command = shell::command(root, &self.python);
        command.arg(root.join("meshage-py/examples").join(example));
        command
    }

    /// The command that starts a node, without arguments.
    pub(crate) fn command(&self, language: Language) -> Command {
        let release = self.target.join("release");
        match language {
            Language::Rust => shell::command(&self.root, release.join("examples/demo_node")),
            Language::C => {
                let mut command = shell::command(&self.root, self.target.join("demo_node_c"));
                // cargo's library search path would find the library of another profile first.
                command.env_remove("LD_LIBRARY_PATH");
                command
            }
            Language::Python => self.python(&self.root, "demo_node.py"),
            Language::Go => {
                let missing = || self.target.join("demo_node_go");
                let mut command =
                    shell::command(&self.root, self.go.clone().unwrap_or_else(missing));
                command.env_remove("LD_LIBRARY_PATH");
                command
            }
        }
    }
}

/// Compiles a program of examples-c/ against the shared library, with warnings as errors.
pub(crate) fn compile(root: &Path, source: &str, program: &Path) -> Result<()> {
    let standard = if source.ends_with(".cpp") { "-std=c++11" } else { "-std=c99" };
    compile_file(root, &Path::new("examples-c").join(source), standard, program)
}

/// Compiles a C or C++ program of the tree against the shared library, with warnings as errors.
pub(crate) fn compile_file(
    root: &Path,
    source: &Path,
    standard: &str,
    program: &Path,
) -> Result<()> {
    let release = shell::target(root).join("release");
    let is_cpp = source.extension().is_some_and(|extension| extension == "cpp");
    let (variable, default) = if is_cpp { ("CXX", "c++") } else { ("CC", "cc") };
    let mut command = compiler(root, variable, default);
    command
        .args([standard, "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Iinclude"])
        .arg(root.join(source))
        .arg("-L")
        .arg(&release)
        .arg(format!("-Wl,-rpath,{}", release.display()))
        .args(["-lmeshage", "-lpthread", "-o"])
        .arg(program);
    shell::run_quietly(&mut command).map(|_| ())
}

/// A compiler: the one in the environment variable, or the system's default.
pub(crate) fn compiler(folder: &Path, variable: &str, default: &str) -> Command {
    shell::command(folder, std::env::var_os(variable).unwrap_or_else(|| default.into()))
}

/// The C and C++ programs in examples-c/.
pub(crate) fn c_sources(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("examples-c");
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let mut sources: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".c") || name.ends_with(".cpp"))
        .collect();
    sources.sort();
    Ok(sources)
}
