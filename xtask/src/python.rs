//! The wheel: built into `target/wheels`, installed into `target/venv`, and tested there.
//!
//! The environment is made of `python3` (or what `PYTHON` names) and of the packages in
//! `meshage-py/requirements-dev.txt`, once; it is made anew when that file changes. Nothing is taken
//! from the source folder: what is tested is what a user would install.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result};
use crate::tally::number_before;

/// Where the Python part of the project is, from the top folder.
const FOLDER: &str = "meshage-py";

/// Builds and installs the wheel; the interpreter that has it.
pub(crate) fn wheel(root: &Path) -> Result<PathBuf> {
    let venv = environment(root)?;
    let wheels = shell::target(root).join("wheels");
    shell::emptied(&wheels)?;
    shell::quietly(build(root, &venv, &wheels).arg("--quiet"))?;
    let wheel = only_file(&wheels)?;
    let built = read(&wheel)?;
    // Installing it again would take the module away from a program that runs at this moment.
    let installed = venv.join("installed.whl");
    if std::fs::read(&installed).is_ok_and(|had| had == built) {
        return Ok(interpreter(&venv));
    }
    let mut install = pip(root, &venv);
    install.args(["install", "--quiet", "--force-reinstall", "--no-deps"]).arg(wheel);
    shell::quietly(&mut install)?;
    std::fs::write(&installed, built)
        .map_err(|error| format!("cannot write {}: {error}", installed.display()))?;
    Ok(interpreter(&venv))
}

/// What builds the wheel into a folder; it may be told more.
pub(crate) fn build(root: &Path, venv: &Path, wheels: &Path) -> Command {
    let mut build = maturin(root, venv, "build", wheels);
    build.arg("--release").arg("--interpreter").arg(interpreter(venv));
    build
}

/// What builds the source distribution into a folder.
pub(crate) fn sources(root: &Path, venv: &Path, folder: &Path) -> Command {
    maturin(root, venv, "sdist", folder)
}

fn maturin(root: &Path, venv: &Path, what: &str, out: &Path) -> Command {
    let mut maturin = program(root, venv, "maturin");
    maturin.arg(what).arg("--manifest-path").arg(root.join(FOLDER).join("Cargo.toml"));
    maturin.arg("--out").arg(out);
    maturin
}

/// Tests the wheel: how many checks passed, how many failed.
pub(crate) fn test(root: &Path) -> Result<(usize, usize)> {
    wheel(root)?;
    let venv = shell::target(root).join("venv");
    let folder = root.join(FOLDER);
    let mut pytest = module(root, &venv, "pytest");
    pytest.current_dir(&folder).args(["-p", "no:cacheprovider"]);
    let (succeeded, text) = shell::capture(&mut pytest)?;
    let last = text.lines().rev().find(|line| line.contains(" in ")).unwrap_or_default();
    let mut passed = number_before(last, "passed");
    let mut failed = number_before(last, "failed")
        + number_before(last, "error")
        + number_before(last, "errors");
    if !succeeded {
        println!("{text}");
        // A run that did not come to its end has no counts.
        failed = failed.max(1);
    }
    for (what, mut check) in types(root, &venv) {
        match shell::quietly(&mut check) {
            Ok(_) => passed += 1,
            Err(why) => {
                println!("{what}: {why}");
                failed += 1;
            }
        }
    }
    Ok((passed, failed))
}

/// What checks the types: the package, the examples and the tests; then the stubs of the native
/// module against the module itself.
fn types(root: &Path, venv: &Path) -> [(&'static str, Command); 2] {
    let folder = root.join(FOLDER);
    let cache = shell::target(root).join("mypy");
    let mut strict = module(root, venv, "mypy");
    strict.current_dir(&folder).arg("--cache-dir").arg(&cache);
    strict.args(["--strict", "python", "examples", "tests"]);
    let mut stubs = module(root, venv, "mypy.stubtest");
    stubs.current_dir(shell::target(root)).arg("meshage");
    stubs.arg("--allowlist").arg(folder.join("stubtest-allow.txt"));
    // What is allowed for one version of Python is not there in another.
    stubs.arg("--ignore-unused-allowlist");
    [("mypy --strict", strict), ("stubtest", stubs)]
}

/// The virtual environment, with what builds and tests the wheel.
pub(crate) fn environment(root: &Path) -> Result<PathBuf> {
    let venv = shell::target(root).join("venv");
    let requirements = root.join(FOLDER).join("requirements-dev.txt");
    let wanted = std::fs::read_to_string(&requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    // The list that the environment was made from, written when it was complete.
    let made_from = venv.join("requirements-dev.txt");
    if std::fs::read_to_string(&made_from).is_ok_and(|had| had == wanted) {
        return Ok(venv);
    }
    println!("making a virtual environment for Python");
    clean(root, &venv)?;
    let mut install = pip(root, &venv);
    install.args(["install", "--quiet", "--requirement"]).arg(&requirements);
    shell::quietly(&mut install)?;
    std::fs::write(&made_from, wanted)
        .map_err(|error| format!("cannot write {}: {error}", made_from.display()))?;
    Ok(venv)
}

/// Makes a virtual environment that has nothing yet.
pub(crate) fn clean(root: &Path, venv: &Path) -> Result<()> {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut create = shell::command(root, python);
    create.args(["-m", "venv", "--clear"]).arg(venv);
    shell::quietly(&mut create).map(|_| ())
}

/// The environment's own `python`.
pub(crate) fn interpreter(venv: &Path) -> PathBuf {
    venv.join("bin/python")
}

/// A program of the environment, which finds the environment's others.
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

/// The environment's own `pip`.
pub(crate) fn pip(root: &Path, venv: &Path) -> Command {
    let mut command = module(root, venv, "pip");
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
    command
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let files = shell::files(folder)?;
    match &files[..] {
        [file] => Ok(file.clone()),
        _ => Err(format!("{} wheels in {}", files.len(), folder.display())),
    }
}
