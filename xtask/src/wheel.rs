//! `cargo xtask wheel`: builds the two forms of the Python package.
//!
//! ```text
//!  meshage-py/ ─► maturin build ─► pymeshage-0.1.0-cp311-abi3-manylinux_2_N_x86_64.whl
//!             └─► maturin sdist ─► pymeshage-0.1.0.tar.gz (with the core's source, and a manifest for both)
//! ```
//!
//! The wheel works with every Python from 3.11 on that has the global interpreter lock. A
//! free-threaded Python needs a wheel for exactly its version: `--python PATH` builds one if the
//! interpreter at PATH is free-threaded. The tag contains the oldest compatible version of glibc. maturin derives it from the symbols, so it depends on the system that builds the wheel.
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
    let Arguments { out, oldest, python } = parse(root, arguments)?;
    println!("building the wheel and the source distribution");
    let built = build(root, &out, oldest.as_deref(), python.as_deref())?;
    for file in [&built.wheel, &built.sources] {
        println!("  {}", file.display());
    }
    println!("{}", requirements(&name(&built.wheel)));
    if oldest.is_none() {
        println!("for older systems, use cargo xtask wheel --manylinux 2_17 (links with zig)");
    }
    Ok(())
}

/// Builds both files into a folder. They replace those of an earlier build for the same kind of
/// interpreter.
pub(crate) fn build(
    root: &Path,
    out: &Path,
    oldest: Option<&str>,
    python: Option<&Path>,
) -> Result<Built> {
    let _build_lock = shell::lock_build(root)?;
    let venv = python::environment(root)?;
    let interpreter = python::interpreter(&venv);
    let interpreter = python.unwrap_or(&interpreter);
    let free_threaded = python::is_free_threaded(root, interpreter)?;
    // With two versions in the folder, pip's choice would be ambiguous.
    for old in shell::list_files(out).unwrap_or_default() {
        let name = name(&old);
        if is_package_file(&name) && (is_sources(&name) || is_for(&name, free_threaded)) {
            std::fs::remove_file(&old)
                .map_err(|error| format!("cannot remove {}: {error}", old.display()))?;
        }
    }
    let mut wheel = python::build_command_for(root, &venv, out, interpreter);
    if free_threaded {
        // Without abi3, and apart from the output of the builds with it.
        wheel.arg("--no-default-features");
        wheel.env("CARGO_TARGET_DIR", shell::target(root).join("free-threaded"));
    }
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
    let one = |what: &str, is_it: &dyn Fn(&str) -> bool| {
        let found = files.iter().find(|file| is_package_file(&name(file)) && is_it(&name(file)));
        found.cloned().ok_or_else(|| format!("found no {what} in {}", out.display()))
    };
    Ok(Built {
        wheel: one("wheel", &|name| !is_sources(name) && is_for(name, free_threaded))?,
        sources: one("source distribution", &is_sources)?,
    })
}

fn is_sources(name: &str) -> bool {
    name.ends_with(".tar.gz")
}

/// Whether a wheel is for a free-threaded Python, or else for one with the global lock.
fn is_for(wheel: &str, free_threaded: bool) -> bool {
    !is_sources(wheel) && free_threaded_version(wheel).is_some() == free_threaded
}

/// The version in the tag of a wheel for a free-threaded Python: `cp314t` is 3.14.
fn free_threaded_version(wheel: &str) -> Option<String> {
    let abi = wheel.split('-').nth(3)?;
    let (major, minor) = abi.strip_prefix("cp")?.strip_suffix('t')?.split_at_checked(1)?;
    Some(format!("{major}.{minor}"))
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
    let python = match free_threaded_version(wheel) {
        Some(version) => format!("the free-threaded Python {version}"),
        None => "Python 3.11 or later (not a free-threaded one)".to_owned(),
    };
    match glibc(wheel) {
        Some((major, minor)) => {
            format!("the wheel runs with {python} and glibc {major}.{minor} or later")
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

/// The arguments of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arguments {
    out: PathBuf,
    /// The oldest version of glibc to support, as `2_17`.
    oldest: Option<String>,
    /// The interpreter to build for; without it, that of the environment.
    python: Option<PathBuf>,
}

fn parse(root: &Path, arguments: &[String]) -> Result<Arguments> {
    let mut out = root.join(OUT);
    let mut oldest = None;
    let mut python = None;
    let mut arguments = arguments.iter();
    while let Some(option) = arguments.next() {
        match (option.as_str(), arguments.next()) {
            ("--out", Some(folder)) => {
                out = std::path::absolute(folder).map_err(|error| format!("{folder}: {error}"))?;
            }
            ("--manylinux", Some(version)) => oldest = Some(version.clone()),
            ("--python", Some(interpreter)) => python = Some(PathBuf::from(interpreter)),
            (other, _) => {
                let why = format!("unknown option {other:?}, or its value is missing");
                return Err(usage::error("wheel", &why));
            }
        }
    }
    Ok(Arguments { out, oldest, python })
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
        assert_eq!(parsed("").expect("the default").out, Path::new("/tree/dist"));
        assert!(parsed("--out").is_err());
        assert!(parsed("--output x").is_err());
        assert_eq!(parsed("--manylinux 2_17").expect("an option").oldest.as_deref(), Some("2_17"));
        let python = parsed("--python python3.14t").expect("an option").python;
        assert_eq!(python.as_deref(), Some(Path::new("python3.14t")));
    }

    #[test]
    fn a_wheel_for_a_free_threaded_python_is_recognised_by_its_tag() {
        let abi3 = "pymeshage-0.1.0-cp311-abi3-manylinux_2_34_x86_64.whl";
        let free = "pymeshage-0.1.0-cp314-cp314t-manylinux_2_34_x86_64.whl";
        assert!(is_for(abi3, false) && !is_for(abi3, true));
        assert!(is_for(free, true) && !is_for(free, false));
        assert!(!is_for("pymeshage-0.1.0.tar.gz", false));
        assert!(requirements(free).contains("the free-threaded Python 3.14 and glibc 2.34"));
        assert!(requirements(abi3).contains("Python 3.11 or later"));
    }
}
