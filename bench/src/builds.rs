//! Builds what the systems run. A system that cannot be built is skipped, and named with the reason.
//!
//! Everything goes below `target/`, so that nothing has to be installed and a second run builds nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::figures::Figures;
use crate::places::Places;
use crate::systems::System;

/// What is built together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Build {
    /// Our Rust workers: built with this program.
    Worker,
    /// The C worker and the library it is linked to.
    C,
    /// The Go worker and the library it is linked to.
    Go,
    /// Our wheel, in the Python environment.
    Wheel,
    /// A peer's package from the Python index, in the same environment: name and version.
    Package(&'static str, &'static str),
    /// One package of the peers' workspace.
    Peer(&'static str),
}

/// Builds whatever the systems need; gives those that can run.
pub(crate) fn all(
    places: &Places,
    systems: Vec<&'static System>,
    figures: &mut Figures,
) -> Vec<&'static System> {
    let mut done: BTreeMap<Build, Result<()>> = BTreeMap::new();
    let mut usable = Vec::new();
    for system in systems {
        let built = done
            .entry(system.build)
            .or_insert_with(|| system.build.run(places).map_err(|why| places.relative(&why)));
        match built {
            Ok(()) => usable.push(system),
            Err(why) => {
                println!("skipped: {}: {why}", system.name);
                figures.miss(system.name, why.as_str());
            }
        }
    }
    usable
}

impl Build {
    fn run(self, places: &Places) -> Result<()> {
        match self {
            Self::Worker => exists(places, &places.release("meshage-bench-worker")),
            Self::C => c(places),
            Self::Go => go(places),
            Self::Wheel => wheel(places),
            Self::Package(name, version) => package(places, name, version),
            Self::Peer(package) => peer(places, package),
        }
    }
}

/// The C worker, against the shared library.
fn c(places: &Places) -> Result<()> {
    let source = places.root.join("bench/c/worker.c");
    exists(places, &source)?;
    println!("building the C worker");
    run(cargo(places).args(["build", "--release", "--quiet", "-p", "meshage-ffi"]))?;
    let release = places.target.join("release");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    run(Command::new(compiler)
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(places.root.join("include"))
        .arg(&source)
        .arg("-L")
        .arg(&release)
        .arg(format!("-Wl,-rpath,{}", release.display()))
        .args(["-lmeshage", "-lpthread", "-o"])
        .arg(places.target.join("bench-c")))
}

/// The Go worker, against the shared library of this tree.
fn go(places: &Places) -> Result<()> {
    let folder = places.root.join("bench/go");
    exists(places, &folder)?;
    println!("building the Go worker");
    run(cargo(places).args(["build", "--release", "--quiet", "-p", "meshage-ffi"]))?;
    let release = places.target.join("release");
    let release = release.display();
    run(Command::new("go")
        .current_dir(folder)
        .env("CGO_LDFLAGS", format!("-L{release} -Wl,-rpath,{release}"))
        .args(["build", "-tags", "meshage_tree", "-o"])
        .arg(places.target.join("bench-go"))
        .arg("."))
}

/// Our wheel, built for release and installed into the environment.
fn wheel(places: &Places) -> Result<()> {
    environment(places)?;
    println!("building the wheel");
    let (venv, wheels) = (places.venv(), places.target.join("bench-wheels"));
    // A wheel of an earlier version would be installed beside the one that is built now.
    if wheels.exists() {
        let removed = std::fs::remove_dir_all(&wheels);
        removed.map_err(|error| format!("cannot empty {}: {error}", wheels.display()))?;
    }
    run(Command::new(venv.join("bin/maturin"))
        .current_dir(&places.root)
        .env("VIRTUAL_ENV", &venv)
        .args(["build", "--release", "--quiet", "--manifest-path", "meshage-py/Cargo.toml"])
        .arg("--out")
        .arg(&wheels)
        .arg("--interpreter")
        .arg(venv.join("bin/python")))?;
    let built = std::fs::read_dir(&wheels).map(|entries| entries.flatten().next());
    let Ok(Some(built)) = built else { return Err("maturin built no wheel".into()) };
    run(pip(places).args(["--force-reinstall", "--no-deps"]).arg(built.path()))
}

/// A peer's package, of the version that it was measured with.
fn package(places: &Places, name: &str, version: &str) -> Result<()> {
    environment(places)?;
    println!("installing {name}");
    run(pip(places).arg("--only-binary").arg(":all:").arg(format!("{name}=={version}")))
}

/// The Python environment, made anew when the list of what it holds has changed.
fn environment(places: &Places) -> Result<()> {
    let requirements = places.root.join("bench/python/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    // Written when it was complete.
    let made_from = places.venv().join("requirements.txt");
    if std::fs::read_to_string(&made_from).is_ok_and(|had| had == wanted) {
        return Ok(());
    }
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(places.venv()))?;
    run(pip(places).arg("--requirement").arg(&requirements))?;
    std::fs::write(&made_from, wanted)
        .map_err(|error| format!("cannot write {}: {error}", made_from.display()))
}

fn pip(places: &Places) -> Command {
    let mut command = Command::new(places.venv().join("bin/python"));
    command.args(["-m", "pip", "install", "--quiet"]);
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
    command
}

/// One peer's worker, from the workspace of the peers.
fn peer(places: &Places, package: &str) -> Result<()> {
    let manifest = places.root.join("bench/peers/Cargo.toml");
    exists(places, &manifest)?;
    println!("building the worker of {package}");
    run(cargo(places)
        .args(["build", "--release", "--quiet", "--locked", "-p", package, "--manifest-path"])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", places.peers()))
}

fn exists(places: &Places, path: &Path) -> Result<()> {
    let shown = path.strip_prefix(&places.root).unwrap_or(path).display();
    if path.exists() { Ok(()) } else { Err(format!("there is no {shown}")) }
}

fn cargo(places: &Places) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&places.root);
    command
}

/// Runs a program in silence; where it fails, the last line that it printed says why.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Err(last.unwrap_or("it failed without a word").trim().to_owned())
}
