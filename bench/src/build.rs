//! Builds the programs of the systems. A system that cannot be built is skipped, with the reason.
//!
//! All output goes below `target/`, so nothing has to be installed and a second run builds nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::artifact::Artifact;
use crate::error::Result;
use crate::figures::Figures;
use crate::paths::Paths;
use crate::systems::System;

/// Builds the artifacts of the systems. Returns the systems that can run.
pub(crate) fn build_all(
    paths: &Paths,
    systems: Vec<&'static System>,
    figures: &mut Figures,
) -> Vec<&'static System> {
    let mut done: BTreeMap<Artifact, Result<()>> = BTreeMap::new();
    let mut usable = Vec::new();
    for system in systems {
        let built = done
            .entry(system.artifact)
            .or_insert_with(|| build(system.artifact, paths).map_err(|why| paths.relative(&why)));
        match built {
            Ok(()) => usable.push(system),
            Err(why) => {
                println!("skipped: {}: {why}", system.name);
                figures.add_missing(system.name, why.as_str());
            }
        }
    }
    usable
}

fn build(artifact: Artifact, paths: &Paths) -> Result<()> {
    match artifact {
        Artifact::Worker => require(paths, &paths.release("meshage-bench-worker")),
        Artifact::C => c_worker(paths),
        Artifact::Go => go_worker(paths),
        Artifact::Wheel => wheel(paths),
        Artifact::Package(name, version) => python_package(paths, name, version),
        Artifact::Peer(package) => peer(paths, package),
        Artifact::PeerWithTls(package) => {
            certificate(paths)?;
            peer(paths, package)
        }
    }
}

/// Builds the C worker against the shared library.
fn c_worker(paths: &Paths) -> Result<()> {
    let source = paths.root.join("bench/c/worker.c");
    require(paths, &source)?;
    println!("building the C worker");
    run(cargo(paths).args(["build", "--release", "--quiet", "-p", "meshage-ffi"]))?;
    let release = paths.target.join("release");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    run(Command::new(compiler)
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(paths.root.join("include"))
        .arg(&source)
        .arg("-L")
        .arg(&release)
        .arg(format!("-Wl,-rpath,{}", release.display()))
        .args(["-lmeshage", "-lpthread", "-o"])
        .arg(paths.target.join("bench-c")))
}

/// Builds the Go worker against the shared library of this tree.
fn go_worker(paths: &Paths) -> Result<()> {
    let folder = paths.root.join("bench/go");
    require(paths, &folder)?;
    println!("building the Go worker");
    run(cargo(paths).args(["build", "--release", "--quiet", "-p", "meshage-ffi"]))?;
    let release = paths.target.join("release");
    let release = release.display();
    run(Command::new("go")
        .current_dir(folder)
        .env("CGO_LDFLAGS", format!("-L{release} -Wl,-rpath,{release}"))
        .args(["build", "-tags", "meshage_tree", "-o"])
        .arg(paths.target.join("bench-go"))
        .arg("."))
}

/// Builds the wheel in release mode and installs it into the environment.
fn wheel(paths: &Paths) -> Result<()> {
    environment(paths)?;
    println!("building the wheel");
    let (venv, wheels) = (paths.venv(), paths.target.join("bench-wheels"));
    // A wheel of an earlier version would be installed beside the one that is built now.
    if wheels.exists() {
        let removed = std::fs::remove_dir_all(&wheels);
        removed.map_err(|error| format!("cannot empty {}: {error}", wheels.display()))?;
    }
    run(Command::new(venv.join("bin/maturin"))
        .current_dir(&paths.root)
        .env("VIRTUAL_ENV", &venv)
        .args(["build", "--release", "--quiet", "--manifest-path", "meshage-py/Cargo.toml"])
        .arg("--out")
        .arg(&wheels)
        .arg("--interpreter")
        .arg(venv.join("bin/python")))?;
    let built = std::fs::read_dir(&wheels).map(|entries| entries.flatten().next());
    let Ok(Some(built)) = built else { return Err("maturin built no wheel".into()) };
    run(pip(paths).args(["--force-reinstall", "--no-deps"]).arg(built.path()))
}

/// Installs a peer's package, in the version that the published figures were measured with.
fn python_package(paths: &Paths, name: &str, version: &str) -> Result<()> {
    environment(paths)?;
    println!("installing {name}");
    run(pip(paths).arg("--only-binary").arg(":all:").arg(format!("{name}=={version}")))
}

/// Creates the Python environment, or recreates it after its requirements have changed.
fn environment(paths: &Paths) -> Result<()> {
    let requirements = paths.root.join("bench/python/requirements.txt");
    let required = std::fs::read_to_string(&requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    // This copy is written when the environment is complete.
    let installed = paths.venv().join("requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == required) {
        return Ok(());
    }
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(paths.venv()))?;
    run(pip(paths).arg("--requirement").arg(&requirements))?;
    std::fs::write(&installed, required)
        .map_err(|error| format!("cannot write {}: {error}", installed.display()))
}

fn pip(paths: &Paths) -> Command {
    let mut command = Command::new(paths.venv().join("bin/python"));
    command.args(["-m", "pip", "install", "--quiet"]);
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
    command
}

/// Builds one peer's worker from the workspace of the peers.
fn peer(paths: &Paths, package: &str) -> Result<()> {
    let manifest = paths.root.join("bench/peers/Cargo.toml");
    require(paths, &manifest)?;
    println!("building the worker of {package}");
    run(cargo(paths)
        .args(["build", "--release", "--quiet", "--locked", "-p", package, "--manifest-path"])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", paths.peers()))
}

/// Makes a certificate for 127.0.0.1 that certifies itself, and its private key.
fn certificate(paths: &Paths) -> Result<()> {
    let folder = paths.certificate();
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    run(Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-subj", "/CN=bench", "-days", "30"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        // TLS clients that use webpki refuse a server whose certificate is one of an authority.
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("certificate.pem")))
}

fn require(paths: &Paths, path: &Path) -> Result<()> {
    let shown = path.strip_prefix(&paths.root).unwrap_or(path).display();
    if path.exists() { Ok(()) } else { Err(format!("{shown} does not exist")) }
}

fn cargo(paths: &Paths) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&paths.root);
    command
}

/// Runs a program without showing its output. The error is the last line that it printed.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Err(last.unwrap_or("it failed and printed nothing").trim().to_owned())
}
