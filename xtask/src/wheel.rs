//! `cargo xtask wheel`: what Python programs install, in two forms.
//!
//! ```text
//!  meshage-py/ ─► maturin build ─► pymeshage-0.1.0-cp311-abi3-manylinux_2_N_x86_64.whl
//!             └─► maturin sdist ─► pymeshage-0.1.0.tar.gz (with the core's source, and a manifest for both)
//! ```
//!
//! The wheel serves every Python from 3.11 on. Its tag names the oldest C library that it runs with:
//! maturin reads it from the symbols, so that it follows the system that it is built on.
//! `--manylinux 2_17` links for an older one with zig, which needs nothing of that system.

use std::path::{Path, PathBuf};

use crate::python;
use crate::shell::{self, Result};

/// Where they go unless one says otherwise, from the top folder.
const OUT: &str = "dist";
/// The linker for older systems, as the package that brings it.
const ZIG: &str = "ziglang==0.17.1";

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    /// The wheel.
    pub(crate) wheel: PathBuf,
    /// The source distribution.
    pub(crate) sources: PathBuf,
}

/// Builds both, as the arguments say.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (out, oldest) = parse(root, arguments)?;
    println!("building the wheel and the source distribution");
    let built = build(root, &out, oldest.as_deref())?;
    for file in [&built.wheel, &built.sources] {
        println!("  {}", file.display());
    }
    println!("{}", runs_on(&name(&built.wheel)));
    if oldest.is_none() {
        println!("for an older one: cargo xtask wheel --manylinux 2_17 (links with zig)");
    }
    Ok(())
}

/// Builds both into a folder, in which those of an earlier build are replaced.
pub(crate) fn build(root: &Path, out: &Path, oldest: Option<&str>) -> Result<Built> {
    let _others_wait = shell::alone(root)?;
    let venv = python::environment(root)?;
    // Beside each other they would be two answers to one question of pip's.
    for old in shell::files(out).unwrap_or_default() {
        if is_ours(&name(&old)) {
            std::fs::remove_file(&old)
                .map_err(|error| format!("cannot remove {}: {error}", old.display()))?;
        }
    }
    let mut wheel = python::build(root, &venv, out);
    if let Some(oldest) = oldest {
        shell::quietly(python::pip(root, &venv).args(["install", "--quiet", ZIG]))?;
        // What zig links is kept apart from what the system's linker does.
        wheel.arg("--zig").arg("--compatibility").arg(format!("manylinux_{oldest}"));
        wheel.env("CARGO_TARGET_DIR", shell::target(root).join("zig"));
        wheel.env("PATH", path_with(&venv.join("bin"))?);
    }
    shell::quietly(&mut wheel)?;
    shell::quietly(&mut python::sources(root, &venv, out))?;
    let files = shell::files(out)?;
    let one = |ending: &str| {
        let found = files.iter().find(|file| is_ours(&name(file)) && name(file).ends_with(ending));
        found.cloned().ok_or_else(|| format!("no pymeshage…{ending} in {}", out.display()))
    };
    Ok(Built { wheel: one(".whl")?, sources: one(".tar.gz")? })
}

/// A file's name.
pub(crate) fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_ours(name: &str) -> bool {
    name.starts_with("pymeshage-") && (name.ends_with(".whl") || name.ends_with(".tar.gz"))
}

/// The search path, with a folder before all others.
fn path_with(folder: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).map_err(|error| format!("no search path: {error}"))
}

/// What a wheel's tag says, in words.
fn runs_on(wheel: &str) -> String {
    match glibc(wheel) {
        Some((major, minor)) => {
            format!("the wheel runs with Python 3.11 or later and glibc {major}.{minor} or later")
        }
        None => "the wheel runs on this system; its tag promises no other".to_owned(),
    }
}

/// The version of the C library in a wheel's tag.
pub(crate) fn glibc(wheel: &str) -> Option<(u32, u32)> {
    let (_, tag) = wheel.split_once("manylinux_")?;
    let mut numbers = tag.split('_').map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn parse(root: &Path, arguments: &[String]) -> Result<(PathBuf, Option<String>)> {
    let mut out = root.join(OUT);
    let mut oldest = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--out", Some(folder)) => {
                out = std::path::absolute(folder).map_err(|error| format!("{folder}: {error}"))?;
            }
            ("--manylinux", Some(version)) => oldest = Some(version.clone()),
            (other, _) => {
                return Err(format!(
                    "{other:?} is no option, or lacks its value: there are --out DIR and \
                     --manylinux VERSION (2_17, for one)"
                ));
            }
        }
    }
    Ok((out, oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_names_the_oldest_c_library() {
        let wheel = |tag: &str| format!("pymeshage-0.1.0-cp311-abi3-{tag}.whl");
        assert_eq!(glibc(&wheel("manylinux_2_34_x86_64")), Some((2, 34)));
        assert_eq!(glibc(&wheel("manylinux2014_x86_64.manylinux_2_17_x86_64")), Some((2, 17)));
        assert_eq!(glibc(&wheel("linux_x86_64")), None);
    }

    #[test]
    fn a_mistyped_option_is_told() {
        let parsed = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            parse(Path::new("/tree"), &words)
        };
        assert_eq!(parsed("").expect("the default").0, Path::new("/tree/dist"));
        assert!(parsed("--out").is_err());
        assert!(parsed("--output x").is_err());
        assert_eq!(parsed("--manylinux 2_17").expect("an option").1.as_deref(), Some("2_17"));
    }
}
