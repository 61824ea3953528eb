//! Running other programs, and where things are.
//!
//! Errors here are sentences for whoever ran the command.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::random;

/// What a command gives, or a sentence that says why not.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// The top folder of the project.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where everything that is built goes.
pub(crate) fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(elsewhere) => root.join(elsewhere),
        None => root.join("target"),
    }
}

/// A folder outside the tree, empty, that goes when this does.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes one whose name says what it is for.
    pub(crate) fn outside(purpose: &str) -> Result<Self> {
        let name = format!("meshage-{purpose}-{:016x}", random::number());
        let folder = Self(std::env::temp_dir().join(name));
        emptied(&folder.0).map(|()| folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes a folder, or takes away what is in it.
pub(crate) fn emptied(folder: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(folder);
    let made = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::read_dir(folder)?.next().transpose());
    match made {
        Ok(None) => Ok(()),
        Ok(Some(left)) => Err(format!("cannot remove {}", left.path().display())),
        Err(error) => Err(format!("no folder {}: {error}", folder.display())),
    }
}

/// What is in a folder, in the order of names.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// Waits until no other command builds, and keeps others waiting while the value lives.
pub(crate) fn alone(root: &Path) -> Result<File> {
    let path = target(root).join("xtask.lock");
    let open = File::options().create(true).append(true).open(&path);
    let locked = open.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| format!("cannot lock {}: {error}", path.display()))
}

/// A program to be run in the top folder, its input empty.
pub(crate) fn command(root: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// `cargo` with these arguments.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = command(root, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs a program and lets it print.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().map_err(|error| format!("cannot run `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed: {status}")) }
}

/// Runs a program and gives what it prints (both streams) and whether it succeeded.
pub(crate) fn capture(command: &mut Command) -> Result<(bool, String)> {
    let line = shown(command);
    let output = command.output().map_err(|error| format!("cannot run `{line}`: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), text))
}

/// Runs a program in silence; what it printed is in the error.
pub(crate) fn quietly(command: &mut Command) -> Result<String> {
    let (succeeded, text) = capture(command)?;
    if succeeded { Ok(text) } else { Err(format!("`{}` failed:\n{text}", shown(command))) }
}

/// Whether a program of this name is on the search path.
pub(crate) fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
