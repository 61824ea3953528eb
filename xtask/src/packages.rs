//! What is published, held to what those who take it need: the wheel, the source distribution, and
//! the crates as `cargo package` makes them.
//!
//! ```text
//!  wheel + sdist ─► what is in them · twine check · a clean environment installs the wheel and greets
//!                └► pip builds the sdist far from the tree, and what it built greets
//!  cargo package ─► what is in them · unpacked: both build, with examples · documentation, every feature
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::greeting;
use crate::python;
use crate::shell::{self, Folder, Result};
use crate::tally::Tally;
use crate::wheel::{self, Built};

/// What has to be in the wheel.
const IN_WHEEL: [&str; 7] = [
    "meshage/_meshage.abi3.so",
    "meshage/_meshage.pyi",
    "meshage/py.typed",
    "meshage/__init__.py",
    "dist-info/METADATA",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];
/// What has to be in the source distribution.
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
/// What is in no package: other parts of the tree, and what was built.
const IN_NONE: [&str; 5] = ["/target/", "/xtask/", "/bench/", ".pyc", "/docs/"];
/// The crates that are published, each with what has to be in it.
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
/// What has to be in every crate.
const IN_EVERY_CRATE: [&str; 4] = ["/Cargo.toml", "/README.md", "/LICENSE-APACHE", "/LICENSE-MIT"];
/// What pip says where there is no network.
const NO_NETWORK: [&str; 3] = [
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Could not resolve host",
];

/// Makes every check.
pub(crate) fn run(root: &Path, tally: &mut Tally) {
    wheels(root, tally);
    crates(root, tally);
}

fn wheels(root: &Path, tally: &mut Tally) {
    let out = shell::target(root).join("packages");
    let built = match wheel::build(root, &out, None) {
        Ok(built) => built,
        Err(why) if has_no_network(&why) => {
            return tally.skip("the wheel", "the network, which brings maturin, is not there");
        }
        Err(why) => {
            tally.check("the wheel and the source distribution build", || Err(why));
            return;
        }
    };
    tally.check("the wheel serves every Python from 3.11 on, and many systems", || tag(&built));
    tally.check("stubs and licences are in the wheel", || {
        holds(&list(root, "zipfile", &built.wheel)?, &IN_WHEEL)
    });
    tally.check("the source distribution has all that it is built from", || {
        holds(&list(root, "tarfile", &built.sources)?, &IN_SOURCES)
    });
    tally.check("twine check", || {
        let venv = python::environment(root)?;
        let mut twine = python::module(root, &venv, "twine");
        twine.args(["check", "--strict"]).arg(&built.wheel).arg(&built.sources);
        shell::quietly(&mut twine).map(|_| ())
    });
    let folder = match Folder::outside("packages") {
        Ok(folder) => folder,
        Err(why) => return tally.skip("the wheel in a clean environment", &why),
    };
    tally.check("a clean environment installs the wheel, and its first program greets", || {
        greets(root, &folder.0, "wheel", &built.wheel)
    });
    let what = "the source distribution builds outside the tree, and its first program greets";
    match built_elsewhere(root, &folder.0, &built.sources) {
        Ok(wheel) => {
            tally.check(what, || greets(root, &folder.0, "sources", &wheel));
        }
        Err(why) if has_no_network(&why) => {
            tally.skip(what, "the network, which brings maturin, is not there");
        }
        Err(why) => {
            tally.check(what, || Err(why));
        }
    }
}

/// Whether the wheel's name says what its readers rely on.
fn tag(built: &Built) -> Result<()> {
    let name = wheel::name(&built.wheel);
    match name.contains("-cp311-abi3-") && wheel::glibc(&name).is_some() {
        true => Ok(()),
        false => Err(name),
    }
}

/// Has pip build the source distribution, in an environment and a folder that know nothing of the
/// tree; the wheel that comes of it. It is about what is there, so that nothing is optimized.
fn built_elsewhere(root: &Path, folder: &Path, sources: &Path) -> Result<PathBuf> {
    let venv = folder.join("builder");
    python::clean(root, &venv)?;
    let out = folder.join("built");
    let mut pip = python::pip(folder, &venv);
    pip.args(["wheel", "--quiet", "--no-deps", "--no-cache-dir", "--wheel-dir"]);
    pip.arg(&out).arg(sources);
    pip.env("CARGO_TARGET_DIR", folder.join("target"));
    pip.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    pip.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    shell::quietly(&mut pip)?;
    shell::files(&out)?.pop().ok_or_else(|| "pip made no wheel".into())
}

/// Installs a wheel into a clean environment, and runs the first program of the Python package
/// twice, from a folder outside the tree.
fn greets(root: &Path, folder: &Path, name: &str, wheel: &Path) -> Result<()> {
    let venv = folder.join(name);
    python::clean(root, &venv)?;
    let mut install = python::pip(folder, &venv);
    shell::quietly(install.args(["install", "--quiet", "--no-index"]).arg(wheel))?;
    let program = folder.join("first.py");
    std::fs::copy(root.join("meshage-py/examples/first.py"), &program)
        .map_err(|error| format!("cannot copy first.py: {error}"))?;
    let start = || {
        let mut command = shell::command(folder, python::interpreter(&venv));
        command.arg(&program).env_remove("PYTHONPATH");
        command
    };
    greeting::greet(start(), start())
}

fn crates(root: &Path, tally: &mut Tally) {
    let mut unpacked = Vec::new();
    tally.check("cargo package takes the crates, with licences, readmes and headers", || {
        unpacked = packaged(root)?;
        Ok(())
    });
    let [core, library] = &unpacked[..] else { return };
    tally.check("the packaged crates build, with every feature and example", || {
        shell::quietly(cargo(root, core, library).args(["build", "--all-features", "--examples"]))?;
        shell::quietly(cargo(root, library, core).arg("build")).map(|_| ())
    });
    tally.check("the packaged crate's documentation builds with every feature", || {
        let mut doc = cargo(root, core, library);
        doc.args(["doc", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings");
        shell::quietly(&mut doc).map(|_| ())
    });
}

/// Has cargo make the packages, looks at what is in them, and unpacks them.
fn packaged(root: &Path) -> Result<Vec<PathBuf>> {
    let _others_wait = shell::alone(root)?;
    let mut package = shell::cargo(root, &["package", "--quiet", "--no-verify", "--allow-dirty"]);
    for (name, _) in CRATES {
        package.args(["-p", name]);
    }
    shell::quietly(&mut package)?;
    let packages = shell::target(root).join("package");
    let folder = packages.join("unpacked");
    shell::emptied(&folder)?;
    let mut unpacked = Vec::new();
    for (name, content) in CRATES {
        let whole = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        // The files become new: cargo builds what it takes for changed.
        let mut tar = shell::command(&folder, "tar");
        let file = packages.join(format!("{whole}.crate"));
        let list = shell::quietly(tar.args(["-x", "-v", "-z", "-m", "-f"]).arg(file))?;
        holds(&list, content)?;
        holds(&list, &IN_EVERY_CRATE)?;
        metadata(&folder.join(&whole), name)?;
        unpacked.push(folder.join(whole));
    }
    for header in ["meshage.h", "meshage.hpp"] {
        let read = |path: PathBuf| {
            std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let packaged = read(unpacked[1].join("include").join(header))?;
        if packaged != read(root.join("include").join(header))? {
            return Err(format!("the packaged {header} is another one"));
        }
    }
    Ok(unpacked)
}

/// Whether a crate says of itself what its page shows.
fn metadata(folder: &Path, name: &str) -> Result<()> {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml"))
        .map_err(|error| format!("no manifest of {name}: {error}"))?;
    let wanted =
        ["description", "license", "readme", "keywords", "categories", "rust-version", "authors"];
    let lacks = |key: &&str| !manifest.lines().any(|line| line.starts_with(&format!("{key} = ")));
    match wanted.iter().copied().find(|key| lacks(key)) {
        None => Ok(()),
        Some(key) => Err(format!("{name} has no {key}")),
    }
}

/// `cargo` in an unpacked crate, which finds the other one beside it instead of in a registry.
fn cargo(root: &Path, folder: &Path, other: &Path) -> Command {
    let mut cargo = shell::cargo(root, &[]);
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", shell::target(root).join("package/built"));
    // Only the C library asks for the other one.
    if folder.join("include").is_dir() {
        cargo
            .arg("--config")
            .arg(format!("patch.crates-io.meshage.path={:?}", other.display().to_string()));
    }
    cargo
}

/// Whether a list of files names each of these, and none that no package has.
fn holds(list: &str, wanted: &[&str]) -> Result<()> {
    let files = || list.lines().filter_map(|line| line.split_whitespace().next());
    if let Some(missing) = wanted.iter().find(|name| !files().any(|file| file.ends_with(*name))) {
        return Err(format!("{missing} is not in it:\n{list}"));
    }
    match files().find(|file| IN_NONE.iter().any(|part| file.contains(part))) {
        Some(file) => Err(format!("{file} is in it")),
        None => Ok(()),
    }
}

/// What lists the files of an archive.
fn list(root: &Path, module: &str, archive: &Path) -> Result<String> {
    let venv = python::environment(root)?;
    shell::quietly(python::module(root, &venv, module).arg("-l").arg(archive))
}

fn has_no_network(why: &str) -> bool {
    NO_NETWORK.iter().any(|words| why.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_should_not_be_there_is_found() {
        let list = "a/LICENSE-MIT  2026-01-01 1\na/src/lib.rs 2\n";
        assert!(holds(list, &["/LICENSE-MIT", "/src/lib.rs"]).is_ok());
        assert!(holds(list, &["/LICENSE-APACHE"]).is_err());
        assert!(holds(&format!("{list}a/bench/x.rs\n"), &["/LICENSE-MIT"]).is_err());
    }

    #[test]
    fn the_headers_in_the_crate_are_links_to_the_tree_s() {
        let root = shell::root();
        for header in ["meshage.h", "meshage.hpp"] {
            let read =
                |folder: &str| std::fs::read(root.join(folder).join(header)).expect("a header");
            assert_eq!(read("include"), read("meshage-ffi/include"));
        }
    }
}
