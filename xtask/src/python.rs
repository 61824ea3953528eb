//! Builds the wheel in `target/wheels`, installs it in `target/venv`, and tests it there.
//!
//! The environment uses `python3` (or the interpreter in `PYTHON`) and the packages in
//! `meshage-py/requirements-dev.txt`. It is created once, and recreated when that file changes. The
//! tests use nothing from the source folder, so they test what a user would install.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::progress::Progress;
use crate::shell::{self, Result};
use crate::tally::{Counts, number_before};

/// The folder of the Python package.
const FOLDER: &str = "meshage-py";

/// Builds and installs the wheel. Returns the interpreter of its environment.
pub(crate) fn install_wheel(root: &Path) -> Result<PathBuf> {
    let venv = environment(root)?;
    let wheels = shell::target(root).join("wheels");
    shell::create_empty_folder(&wheels)?;
    shell::run_quietly(build_command(root, &venv, &wheels).arg("--quiet"))?;
    let wheel = only_file(&wheels)?;
    let built = read(&wheel)?;
    // A second installation would remove the module while another program uses it.
    let installed = venv.join("installed.whl");
    if std::fs::read(&installed).is_ok_and(|wheel| wheel == built) {
        return Ok(interpreter(&venv));
    }
    let mut install = pip(root, &venv);
    install.args(["install", "--quiet", "--force-reinstall", "--no-deps"]).arg(wheel);
    shell::run_quietly(&mut install)?;
    std::fs::write(&installed, built)
        .map_err(|error| format!("cannot write {}: {error}", installed.display()))?;
    Ok(interpreter(&venv))
}

/// The command that builds the wheel into a folder. The caller may add options.
pub(crate) fn build_command(root: &Path, venv: &Path, wheels: &Path) -> Command {
    build_command_for(root, venv, wheels, &interpreter(venv))
}

/// The same for another interpreter.
pub(crate) fn build_command_for(root: &Path, venv: &Path, wheels: &Path, python: &Path) -> Command {
    let mut build = maturin(root, venv, "build", wheels);
    build.arg("--release").arg("--interpreter").arg(python);
    build
}

/// Whether a Python interpreter runs without the global lock. Such a one cannot load abi3 modules.
///
/// # Errors
/// The program is not a Python interpreter of a supported version.
pub(crate) fn is_free_threaded(root: &Path, python: &Path) -> Result<bool> {
    let mut ask = shell::command(root, python);
    ask.args(["-c", DESCRIBE]);
    let text = shell::run_quietly(&mut ask)?;
    parse_description(&text).map_err(|why| format!("{}: {why}", python.display()))
}

/// Prints the version of an interpreter, and 1 if it runs without the global lock.
const DESCRIBE: &str = "import sys, sysconfig
print(*sys.version_info[:2], int(bool(sysconfig.get_config_var('Py_GIL_DISABLED'))))";

fn parse_description(text: &str) -> Result<bool> {
    let numbers: Vec<u32> =
        text.split_whitespace().map_while(|number| number.parse().ok()).collect();
    match numbers[..] {
        [3, minor, _] if minor < 11 => {
            Err(format!("Python 3.{minor} is too old: use 3.11 or later"))
        }
        [3, 11 | 12, 1] => Err("this version has no free-threaded form".into()),
        [3, _, free_threaded] => Ok(free_threaded == 1),
        _ => Err(format!("not a Python 3 interpreter: it printed {text:?}")),
    }
}

/// The command that builds the source distribution into a folder.
pub(crate) fn sdist_command(root: &Path, venv: &Path, folder: &Path) -> Command {
    maturin(root, venv, "sdist", folder)
}

fn maturin(root: &Path, venv: &Path, subcommand: &str, out: &Path) -> Command {
    let mut maturin = program(root, venv, "maturin");
    maturin.arg(subcommand).arg("--manifest-path").arg(root.join(FOLDER).join("Cargo.toml"));
    maturin.arg("--out").arg(out);
    maturin
}

/// Tests the wheel.
pub(crate) fn test(root: &Path) -> Result<Counts> {
    let mut progress = Progress::new();
    progress.step("building the wheel", || install_wheel(root))?;
    install_loops(root);
    let venv = shell::target(root).join("venv");
    let folder = root.join(FOLDER);
    let mut pytest = module(root, &venv, "pytest");
    pytest.current_dir(&folder).args(["-p", "no:cacheprovider", "-vv", "-rN"]);
    // A narrow terminal would cut the reasons of skipped tests.
    pytest.env("PYTHONUNBUFFERED", "1").env("COLUMNS", "400");
    let mut counts = Counts::default();
    let (succeeded, text) =
        shell::follow(&mut pytest, |line| read_pytest(line, &mut progress, &mut counts))?;
    progress.end("done");
    let last = text.lines().rev().find(|line| line.contains(" in ")).unwrap_or_default();
    counts.passed = number_before(last, "passed");
    counts.failed = number_before(last, "failed")
        + number_before(last, "error")
        + number_before(last, "errors");
    if !succeeded {
        println!("{text}");
        // An aborted run has no counts.
        counts.failed = counts.failed.max(1);
    }
    let checks = type_checks(root, &venv).into_iter().chain([free_threaded_check(root)]);
    for (what, mut check) in checks {
        match progress.step(what, || shell::run_quietly(&mut check)) {
            Ok(_) => counts.passed += 1,
            Err(why) => {
                println!("{what}: {why}");
                counts.failed += 1;
            }
        }
    }
    Ok(counts)
}

/// Reads a line `tests/test_send.py::test_one PASSED [ 5%]`, where `SKIPPED (reason)` may stand.
fn read_pytest(line: &str, progress: &mut Progress, counts: &mut Counts) {
    let Some((file, rest)) = line.split_once(".py::") else { return };
    let Some((test, result)) = rest.split_once(' ') else { return };
    // The summary at the end names tests after their result.
    if file.contains(' ') {
        return;
    }
    let group = file.rsplit('/').next().unwrap_or(file);
    if progress.group() != Some(group) {
        progress.start(group);
    }
    progress.count_test();
    if let Some(reason) = result.strip_prefix("SKIPPED ") {
        let reason = reason.rsplit_once(" [").map_or(reason, |(reason, _)| reason).trim();
        let reason = reason.trim_start_matches('(').trim_end_matches(')');
        counts.skipped.push(format!("the test {group}::{test}: {reason}"));
    }
}

/// Installs the event loops that some tests need. Without a network these tests are skipped.
fn install_loops(root: &Path) {
    let venv = shell::target(root).join("venv");
    let mut install = pip(root, &venv);
    install.args(["install", "--quiet", "--only-binary", ":all:", "--requirement"]);
    install.arg(root.join(FOLDER).join("requirements-loops.txt"));
    if let Err(why) = shell::run_quietly(&mut install) {
        let reason = why.lines().last().unwrap_or_default();
        println!(
            "   gevent, eventlet and uvloop cannot be installed, their tests are skipped: {reason}"
        );
    }
}

/// Compiles the module for a Python without the global lock, which needs no such interpreter. The
/// file contains what PyO3 would find out from one.
fn free_threaded_check(root: &Path) -> (&'static str, Command) {
    let mut check =
        shell::cargo(root, &["check", "--quiet", "-p", "meshage-py", "--no-default-features"]);
    check.env("PYO3_CONFIG_FILE", root.join(FOLDER).join("free-threaded.txt"));
    check.env("CARGO_TARGET_DIR", shell::target(root).join("free-threaded"));
    ("the module compiles for a free-threaded Python", check)
}

/// The type checks: of the package, the examples and the tests, then of the native module's stubs
/// against the module.
fn type_checks(root: &Path, venv: &Path) -> [(&'static str, Command); 2] {
    let folder = root.join(FOLDER);
    let cache = shell::target(root).join("mypy");
    let mut strict = module(root, venv, "mypy");
    strict.current_dir(&folder).arg("--cache-dir").arg(&cache);
    strict.args(["--strict", "python", "examples", "tests"]);
    let mut stubs = module(root, venv, "mypy.stubtest");
    stubs.current_dir(shell::target(root)).arg("meshage");
    stubs.arg("--allowlist").arg(folder.join("stubtest-allow.txt"));
    // Some entries of the list apply only to certain versions of Python.
    stubs.arg("--ignore-unused-allowlist");
    [("mypy --strict", strict), ("stubtest", stubs)]
}

/// The virtual environment with the packages that build and test the wheel.
pub(crate) fn environment(root: &Path) -> Result<PathBuf> {
    let venv = shell::target(root).join("venv");
    let requirements = root.join(FOLDER).join("requirements-dev.txt");
    let required = std::fs::read_to_string(&requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    // This copy is written when the environment is complete.
    let installed = venv.join("requirements-dev.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == required) {
        return Ok(venv);
    }
    println!("creating a virtual environment for Python");
    create_environment(root, &venv)?;
    let mut install = pip(root, &venv);
    install.args(["install", "--quiet", "--requirement"]).arg(&requirements);
    shell::run_quietly(&mut install)?;
    std::fs::write(&installed, required)
        .map_err(|error| format!("cannot write {}: {error}", installed.display()))?;
    Ok(venv)
}

/// Creates an empty virtual environment.
pub(crate) fn create_environment(root: &Path, venv: &Path) -> Result<()> {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut create = shell::command(root, python);
    create.args(["-m", "venv", "--clear"]).arg(venv);
    shell::run_quietly(&mut create).map(|_| ())
}

/// The environment's `python`.
pub(crate) fn interpreter(venv: &Path) -> PathBuf {
    venv.join("bin/python")
}

/// A program of the environment. It finds the environment's other programs.
fn program(root: &Path, venv: &Path, name: &str) -> Command {
    let mut command = shell::command(root, venv.join("bin").join(name));
    command.env("VIRTUAL_ENV", venv);
    command
}

/// A module of the environment, run as a program.
pub(crate) fn module(root: &Path, venv: &Path, name: &str) -> Command {
    let mut command = shell::command(root, interpreter(venv));
    command.args(["-m", name]);
    command
}

/// The environment's `pip`.
pub(crate) fn pip(root: &Path, venv: &Path) -> Command {
    let mut command = module(root, venv, "pip");
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
    command
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let files = shell::list_files(folder)?;
    match &files[..] {
        [file] => Ok(file.clone()),
        _ => Err(format!("expected one wheel, found {} in {}", files.len(), folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_python_test_is_named_with_its_reason() {
        let mut counts = Counts::default();
        let mut progress = Progress::new();
        for line in [
            "tests/test_send.py::test_one PASSED                       [  1%]",
            "tests/test_loops.py::test_two[uvloop] SKIPPED (could not import 'uvloop') [  2%]",
            "FAILED tests/test_send.py::test_three - AssertionError",
        ] {
            read_pytest(line, &mut progress, &mut counts);
        }
        let named = ["the test test_loops::test_two[uvloop]: could not import 'uvloop'"];
        assert_eq!(counts.skipped, named);
        assert_eq!(progress.group(), Some("test_loops"));
    }

    #[test]
    fn the_kind_of_an_interpreter_is_read_from_its_description() {
        assert_eq!(parse_description("3 11 0\n"), Ok(false));
        assert_eq!(parse_description("3 14 0\n"), Ok(false));
        assert_eq!(parse_description("3 14 1\n"), Ok(true));
        for text in ["3 10 0", "2 7 0", "3 12 1", "", "Python 3.14"] {
            assert!(parse_description(text).is_err(), "{text}");
        }
    }
}
