//! Tests the packages to publish: the wheel, the source distribution, and the crates as `cargo package`
//! creates them.
//!
//! ```text
//!  wheel + sdist ─► contents · twine check · the wheel's first program, in a clean environment
//!                └► pip builds the sdist outside the tree · the first program of that wheel
//!  cargo package ─► contents · unpacked: both crates compile, with examples · documentation
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::greeting;
use crate::python;
use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::temp_folder::TempFolder;
use crate::wheel::{self, Built};

/// Required files of the wheel.
const IN_WHEEL: [&str; 7] = [
    "meshage/_meshage.abi3.so",
    "meshage/_meshage.pyi",
    "meshage/py.typed",
    "meshage/__init__.py",
    "dist-info/METADATA",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];
/// Required files of the source distribution.
const IN_SOURCES: [&str; 10] = [
    "/PKG-INFO",
    "/pyproject.toml",
    "/Cargo.toml",
    "/Cargo.lock",
    "/LICENSE-APACHE",
    "/LICENSE-MIT",
    "/meshage/src/lib.rs",
    "/meshage-py/src/lib.rs",
    "/python/meshage/_meshage.pyi",
    "/python/meshage/py.typed",
];
/// Forbidden parts of paths: other parts of the tree, and build output.
const IN_NONE: [&str; 5] = ["/target/", "/xtask/", "/bench/", ".pyc", "/docs/"];
/// The published crates, each with its required files.
const CRATES: [(&str, &[&str]); 2] = [
    ("meshage", &["/src/lib.rs", "/examples/first.rs"]),
    (
        "meshage-ffi",
        &[
            "/src/lib.rs",
            "/build.rs",
            "/include/meshage.h",
            "/include/meshage.hpp",
            "/cmake/meshageConfig.cmake",
        ],
    ),
];
/// Required files of every crate.
const IN_EVERY_CRATE: [&str; 4] = ["/Cargo.toml", "/README.md", "/LICENSE-APACHE", "/LICENSE-MIT"];
/// Errors of pip without a network.
const NO_NETWORK: [&str; 3] = [
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Could not resolve host",
];

/// Runs all checks.
pub(crate) fn run(root: &Path, tally: &mut Tally) {
    wheels(root, tally);
    crates(root, tally);
}

fn wheels(root: &Path, tally: &mut Tally) {
    let out = shell::target(root).join("packages");
    let built = match wheel::build(root, &out, None, None) {
        Ok(built) => built,
        Err(why) if has_no_network(&why) => {
            return tally.skip("the wheel", "there is no network to download maturin");
        }
        Err(why) => {
            tally.check("the wheel and the source distribution build", || Err(why));
            return;
        }
    };
    tally.check("the wheel's tag covers every Python from 3.11 on, and many systems", || {
        check_tag(&built)
    });
    tally.check("the wheel contains stubs and licences", || {
        check_contents(&list(root, "zipfile", &built.wheel)?, &IN_WHEEL)
    });
    tally.check("the source distribution contains all sources", || {
        check_contents(&list(root, "tarfile", &built.sources)?, &IN_SOURCES)
    });
    tally.check("twine check reports nothing", || {
        let venv = python::environment(root)?;
        let mut twine = python::module(root, &venv, "twine");
        twine.args(["check", "--strict"]).arg(&built.wheel).arg(&built.sources);
        shell::run_quietly(&mut twine).map(|_| ())
    });
    let folder = match TempFolder::new("packages") {
        Ok(folder) => folder,
        Err(why) => return tally.skip("the wheel in a clean environment", &why),
    };
    tally.check(
        "the wheel installs in a clean environment, and its first programs exchange greetings",
        || run_first_program(root, folder.path(), "wheel", &built.wheel),
    );
    let what = "the source distribution builds outside the tree, and its first programs exchange greetings";
    match build_outside(root, folder.path(), &built.sources) {
        Ok(wheel) => {
            tally.check(what, || run_first_program(root, folder.path(), "sources", &wheel));
        }
        Err(why) if has_no_network(&why) => {
            tally.skip(what, "there is no network to download maturin");
        }
        Err(why) => {
            tally.check(what, || Err(why));
        }
    }
}

/// Checks the tag in the wheel's name.
fn check_tag(built: &Built) -> Result<()> {
    let name = wheel::name(&built.wheel);
    match name.contains("-cp311-abi3-") && wheel::glibc(&name).is_some() {
        true => Ok(()),
        false => Err(format!("unexpected tag: {name}")),
    }
}

/// Builds the source distribution with pip, in an environment and a folder outside the tree. Returns
/// the wheel. The test is about completeness, so the build is not optimized.
fn build_outside(root: &Path, folder: &Path, sources: &Path) -> Result<PathBuf> {
    let venv = folder.join("builder");
    python::create_environment(root, &venv)?;
    let out = folder.join("built");
    let mut pip = python::pip(folder, &venv);
    pip.args(["wheel", "--quiet", "--no-deps", "--no-cache-dir", "--wheel-dir"]);
    pip.arg(&out).arg(sources);
    pip.env("CARGO_TARGET_DIR", folder.join("target"));
    pip.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    pip.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    shell::run_quietly(&mut pip)?;
    shell::list_files(&out)?.pop().ok_or_else(|| "pip built no wheel".into())
}

/// Installs a wheel in a clean environment, and runs two instances of the first Python program in a
/// folder outside the tree.
fn run_first_program(root: &Path, folder: &Path, name: &str, wheel: &Path) -> Result<()> {
    let venv = folder.join(name);
    python::create_environment(root, &venv)?;
    let mut install = python::pip(folder, &venv);
    shell::run_quietly(install.args(["install", "--quiet", "--no-index"]).arg(wheel))?;
    let program = folder.join("first.py");
    std::fs::copy(root.join("meshage-py/examples/first.py"), &program)
        .map_err(|error| format!("cannot copy first.py: {error}"))?;
    let start = || {
        let mut command = shell::command(folder, python::interpreter(&venv));
        command.arg(&program).env_remove("PYTHONPATH");
        command
    };
    greeting::exchange_greetings(start(), start())
}

fn crates(root: &Path, tally: &mut Tally) {
    let mut unpacked = Vec::new();
    tally.check("cargo package packs the crates, with licences, readmes and headers", || {
        unpacked = pack_and_unpack(root)?;
        Ok(())
    });
    let [core, library] = &unpacked[..] else { return };
    // The test is about completeness, so no code is generated.
    tally.check("the packaged crates compile with every feature and example", || {
        shell::run_quietly(cargo(root, core, library).args([
            "check",
            "--all-features",
            "--examples",
        ]))?;
        shell::run_quietly(cargo(root, library, core).arg("check")).map(|_| ())
    });
    tally.check("the packaged crate's documentation builds with every feature", || {
        let mut doc = cargo(root, core, library);
        doc.args(["doc", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings");
        shell::run_quietly(&mut doc).map(|_| ())
    });
}

/// Creates the packages with cargo, checks their contents, and unpacks them.
fn pack_and_unpack(root: &Path) -> Result<Vec<PathBuf>> {
    let _build_lock = shell::lock_build(root)?;
    let mut package = shell::cargo(root, &["package", "--quiet", "--no-verify", "--allow-dirty"]);
    for (name, _) in CRATES {
        package.args(["-p", name]);
    }
    shell::run_quietly(&mut package)?;
    let packages = shell::target(root).join("package");
    let folder = packages.join("unpacked");
    shell::create_empty_folder(&folder)?;
    let mut unpacked = Vec::new();
    for (name, content) in CRATES {
        let full_name = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        // -m sets new modification times, so that cargo rebuilds the files.
        let mut tar = shell::command(&folder, "tar");
        let file = packages.join(format!("{full_name}.crate"));
        let list = shell::run_quietly(tar.args(["-x", "-v", "-z", "-m", "-f"]).arg(file))?;
        check_contents(&list, content)?;
        check_contents(&list, &IN_EVERY_CRATE)?;
        check_metadata(&folder.join(&full_name), name)?;
        unpacked.push(folder.join(full_name));
    }
    for header in ["meshage.h", "meshage.hpp"] {
        let read = |path: PathBuf| {
            std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let packaged = read(unpacked[1].join("include").join(header))?;
        if packaged != read(root.join("include").join(header))? {
            return Err(format!("the packaged {header} differs from that of the tree"));
        }
    }
    Ok(unpacked)
}

/// Checks that a crate has the metadata that its page shows.
fn check_metadata(folder: &Path, name: &str) -> Result<()> {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml"))
        .map_err(|error| format!("cannot read the manifest of {name}: {error}"))?;
    let required =
        ["description", "license", "readme", "keywords", "categories", "rust-version", "authors"];
    let lacks = |key: &&str| !manifest.lines().any(|line| line.starts_with(&format!("{key} = ")));
    match required.iter().copied().find(|key| lacks(key)) {
        None => Ok(()),
        Some(key) => Err(format!("the manifest of {name} has no {key}")),
    }
}

/// `cargo` in an unpacked crate. It finds the other crate in its folder instead of in a registry.
fn cargo(root: &Path, folder: &Path, other: &Path) -> Command {
    let mut cargo = shell::cargo(root, &[]);
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", shell::target(root).join("package/built"));
    // Only the C library depends on the other crate.
    if folder.join("include").is_dir() {
        cargo
            .arg("--config")
            .arg(format!("patch.crates-io.meshage.path={:?}", other.display().to_string()));
    }
    cargo
}

/// Checks that a list of files contains the required files and no forbidden ones.
fn check_contents(list: &str, required: &[&str]) -> Result<()> {
    let files = || list.lines().filter_map(|line| line.split_whitespace().next());
    if let Some(missing) = required.iter().find(|name| !files().any(|file| file.ends_with(*name))) {
        return Err(format!("{missing} is missing:\n{list}"));
    }
    match files().find(|file| IN_NONE.iter().any(|part| file.contains(part))) {
        Some(file) => Err(format!("{file} must not be in the package")),
        None => Ok(()),
    }
}

/// Lists the files of an archive.
fn list(root: &Path, module: &str, archive: &Path) -> Result<String> {
    let venv = python::environment(root)?;
    shell::run_quietly(python::module(root, &venv, module).arg("-l").arg(archive))
}

fn has_no_network(why: &str) -> bool {
    NO_NETWORK.iter().any(|words| why.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_forbidden_files_are_found() {
        let list = "a/LICENSE-MIT  2026-01-01 1\na/src/lib.rs 2\n";
        assert!(check_contents(list, &["/LICENSE-MIT", "/src/lib.rs"]).is_ok());
        assert!(check_contents(list, &["/LICENSE-APACHE"]).is_err());
        assert!(check_contents(&format!("{list}a/bench/x.rs\n"), &["/LICENSE-MIT"]).is_err());
    }

    #[test]
    fn the_headers_in_the_crate_equal_those_of_the_tree() {
        let root = shell::root();
        for header in ["meshage.h", "meshage.hpp"] {
            let read =
                |folder: &str| std::fs::read(root.join(folder).join(header)).expect("a header");
            assert_eq!(read("include"), read("meshage-ffi/include"));
        }
    }
}
