//! `cargo xtask wheel`: builds the two forms of the Python package.
//!
//! ```text
//!  meshage-py/ ─► maturin build ─► pymeshage-0.1.0-cp311-abi3-manylinux_2_N_x86_64.whl
//!             └─► maturin sdist ─► pymeshage-0.1.0.tar.gz (with the core's source, and a manifest for both)
//! ```
//!
//! The wheel works with every Python from 3.11 on. Its tag contains the oldest compatible version of
//! glibc. maturin derives it from the symbols, so it depends on the system that builds the wheel.
//! `--manylinux 2_17` links for an older version with zig, which needs no files of an older system.

use std::path::{Path, PathBuf};

use crate::python;
use crate::shell::{self, Result};
use crate::usage;

/// The default output folder.
const OUT: &str = "dist";
/// The package with the linker for older systems.
const ZIG: &str = "ziglang==0.17.1";

/// The built files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    /// The wheel.
    pub(crate) wheel: PathBuf,
    /// The source distribution.
    pub(crate) sources: PathBuf,
}

/// Builds both files, according to the arguments.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (out, oldest) = parse(root, arguments)?;
    println!("building the wheel and the source distribution");
    let built = build(root, &out, oldest.as_deref())?;
    for file in [&built.wheel, &built.sources] {
        println!("  {}", file.display());
    }
    println!("{}", requirements(&name(&built.wheel)));
    if oldest.is_none() {
        println!("for older systems, use cargo xtask wheel --manylinux 2_17 (links with zig)");
    }
    Ok(())
}

/// Builds both files into a folder. They replace those of an earlier build.
pub(crate) fn build(root: &Path, out: &Path, oldest: Option<&str>) -> Result<Built> {
    let _build_lock = shell::lock_build(root)?;
    let venv = python::environment(root)?;
    // With two versions in the folder, pip's choice would be ambiguous.
    for old in shell::list_files(out).unwrap_or_default() {
        if is_package_file(&name(&old)) {
            std::fs::remove_file(&old)
                .map_err(|error| format!("cannot remove {}: {error}", old.display()))?;
        }
    }
    let mut wheel = python::build_command(root, &venv, out);
    if let Some(oldest) = oldest {
        shell::run_quietly(python::pip(root, &venv).args(["install", "--quiet", ZIG]))?;
        // The output of zig is separate from that of the system's linker.
        wheel.arg("--zig").arg("--compatibility").arg(format!("manylinux_{oldest}"));
        wheel.env("CARGO_TARGET_DIR", shell::target(root).join("zig"));
        wheel.env("PATH", path_with(&venv.join("bin"))?);
    }
    shell::run_quietly(&mut wheel)?;
    shell::run_quietly(&mut python::sdist_command(root, &venv, out))?;
    let files = shell::list_files(out)?;
    let one = |ending: &str| {
        let found =
            files.iter().find(|file| is_package_file(&name(file)) && name(file).ends_with(ending));
        found.cloned().ok_or_else(|| format!("found no pymeshage-*{ending} in {}", out.display()))
    };
    Ok(Built { wheel: one(".whl")?, sources: one(".tar.gz")? })
}

/// The name of a file.
pub(crate) fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_package_file(name: &str) -> bool {
    name.starts_with("pymeshage-") && (name.ends_with(".whl") || name.ends_with(".tar.gz"))
}

/// The search path, with a folder in front of all others.
fn path_with(folder: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).map_err(|error| format!("cannot extend the search path: {error}"))
}

/// A sentence about the requirements in a wheel's tag.
fn requirements(wheel: &str) -> String {
    match glibc(wheel) {
        Some((major, minor)) => {
            format!("the wheel runs with Python 3.11 or later and glibc {major}.{minor} or later")
        }
        None => "the wheel runs on this system; its tag guarantees no other system".to_owned(),
    }
}

/// The version of glibc in a wheel's tag.
pub(crate) fn glibc(wheel: &str) -> Option<(u32, u32)> {
    let (_, tag) = wheel.split_once("manylinux_")?;
    let mut numbers = tag.split('_').map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn parse(root: &Path, arguments: &[String]) -> Result<(PathBuf, Option<String>)> {
    let mut out = root.join(OUT);
    let mut oldest = None;
    let mut arguments = arguments.iter();
    while let Some(option) = arguments.next() {
        match (option.as_str(), arguments.next()) {
            ("--out", Some(folder)) => {
                out = std::path::absolute(folder).map_err(|error| format!("{folder}: {error}"))?;
            }
            ("--manylinux", Some(version)) => oldest = Some(version.clone()),
            (other, _) => {
                let why = format!("unknown option {other:?}, or its value is missing");
                return Err(usage::error("wheel", &why));
            }
        }
    }
    Ok((out, oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_contains_the_oldest_glibc() {
        let wheel = |tag: &str| format!("pymeshage-0.1.0-cp311-abi3-{tag}.whl");
        assert_eq!(glibc(&wheel("manylinux_2_34_x86_64")), Some((2, 34)));
        assert_eq!(glibc(&wheel("manylinux2014_x86_64.manylinux_2_17_x86_64")), Some((2, 17)));
        assert_eq!(glibc(&wheel("linux_x86_64")), None);
    }

    #[test]
    fn a_mistyped_option_is_an_error() {
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
