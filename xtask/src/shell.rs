//! Runs other programs, and finds the folders of the project.
//!
//! Errors are sentences for the user of the command.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// The result of a command. The error is a sentence that says what failed.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// The top folder of the project.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The folder of all build output.
pub(crate) fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(elsewhere) => root.join(elsewhere),
        None => root.join("target"),
    }
}

/// Creates a folder, or removes its contents.
pub(crate) fn create_empty_folder(folder: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(folder);
    let made = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::read_dir(folder)?.next().transpose());
    match made {
        Ok(None) => Ok(()),
        Ok(Some(left)) => Err(format!("cannot remove {}", left.path().display())),
        Err(error) => Err(format!("cannot create {}: {error}", folder.display())),
    }
}

/// The entries of a folder, sorted by name.
pub(crate) fn list_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// Waits until no other command builds. Other commands wait while the returned value exists.
pub(crate) fn lock_build(root: &Path) -> Result<File> {
    let path = target(root).join("xtask.lock");
    let open = File::options().create(true).append(true).open(&path);
    let locked = open.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| format!("cannot lock {}: {error}", path.display()))
}

/// Whether release builds leave out the optimisation at link time.
static QUICK_RELEASES: AtomicBool = AtomicBool::new(false);

/// From now on, release builds leave out the optimisation at link time, which takes minutes. Tests of
/// what was built do not need it.
pub(crate) fn build_releases_quickly() {
    QUICK_RELEASES.store(true, Ordering::Relaxed);
}

/// A command that runs a program in the given folder, with empty input.
pub(crate) fn command(root: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root).stdin(Stdio::null());
    if QUICK_RELEASES.load(Ordering::Relaxed) {
        command.env("CARGO_PROFILE_RELEASE_LTO", "off");
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    }
    command
}

/// `cargo` with these arguments.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = command(root, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs a program and shows its output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let status = command.status().map_err(|error| format!("cannot run `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed: {status}")) }
}

/// Runs a program. Returns whether it succeeded, and its output (both streams).
pub(crate) fn capture(command: &mut Command) -> Result<(bool, String)> {
    let line = command_line(command);
    let output = command.output().map_err(|error| format!("cannot run `{line}`: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), text))
}

/// Runs a program, and passes each line of its output (both streams) on when it is written. Returns
/// whether the program succeeded, and the output.
pub(crate) fn follow(command: &mut Command, mut read: impl FnMut(&str)) -> Result<(bool, String)> {
    let line = command_line(command);
    let cannot = |error: std::io::Error| format!("cannot run `{line}`: {error}");
    let (output, input) = std::io::pipe().map_err(cannot)?;
    command.stdout(input.try_clone().map_err(cannot)?).stderr(input);
    let child = command.spawn();
    // The command keeps its ends of the pipe. The output ends when no process has such an end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.map_err(cannot)?;
    let mut text = String::new();
    for bytes in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&bytes.map_err(cannot)?).into_owned();
        read(&line);
        text.push_str(&line);
        text.push('\n');
    }
    Ok((child.wait().map_err(cannot)?.success(), text))
}

/// Runs a program without showing its output. The error contains the output.
pub(crate) fn run_quietly(command: &mut Command) -> Result<String> {
    let (succeeded, text) = capture(command)?;
    if succeeded { Ok(text) } else { Err(format!("`{}` failed:\n{text}", command_line(command))) }
}

/// Removes the variables that could make a command find a library other than the installed one.
pub(crate) fn without_library_paths(mut command: Command) -> Command {
    for variable in ["LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "MAKEFLAGS", "STATIC"] {
        command.env_remove(variable);
    }
    command
}

/// Whether a program of this name is on the search path.
pub(crate) fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// A command as a line of text.
pub(crate) fn command_line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
