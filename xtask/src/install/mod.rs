//! `cargo xtask install`: installs the library for programs outside this tree.
//!
//! ```text
//!  PREFIX/include/meshage.h, meshage.hpp
//!  PREFIX/lib/libmeshage.so ─► libmeshage.so.0.1.0 ◄─ libmeshage.so.0.1 (the soname)
//!  PREFIX/lib/libmeshage.a, pkgconfig/meshage.pc
//!  PREFIX/share/cmake/meshage/, doc/meshage/
//! ```
//!
//! `cargo cinstall --prefix PREFIX --libdir lib` does the same (meshage-ffi/Cargo.toml configures it);
//! a test compares the two. [`plan`] lists the files that are written, and `--uninstall` removes them.

mod native;
mod paths;
mod pc;
mod plan;

use std::io;
use std::path::{Path, PathBuf};

use crate::shell::{self, Result};
use crate::usage as command_usage;

pub(crate) use paths::InstallPaths;
use paths::LIBDIR;
pub(crate) use plan::compatibility;
use plan::{Content, Item};

/// The default prefix.
const PREFIX: &str = "/usr/local";
/// The folders that an uninstallation removes when they are empty.
const OWN_FOLDERS: [&str; 2] = ["share/cmake/meshage", "share/doc/meshage"];

/// Installs or uninstalls, according to the arguments.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (paths, uninstall) = parse(arguments)?;
    if !cfg!(target_os = "linux") {
        return Err(
            "install supports only Linux; use `cargo cinstall` (cargo-c) on other systems".into()
        );
    }
    if uninstall {
        return remove(&plan::file_paths(&paths), &paths);
    }
    for path in build_and_install(root, &paths)? {
        println!("  {}", path.display());
    }
    println!("{}", usage(&paths));
    Ok(())
}

/// How compilers and programs find this copy, if they do not search its folders by default.
fn usage(paths: &InstallPaths) -> String {
    let (prefix, libdir) = (paths.prefix.display(), paths.libdir.display());
    format!(
        "pkg-config finds it with PKG_CONFIG_PATH={libdir}/pkgconfig\n\
         CMake finds it with -DCMAKE_PREFIX_PATH={prefix}\n\
         programs find it with -Wl,-rpath,{libdir}, or after ldconfig if {libdir} is a system folder"
    )
}

/// Builds the library and installs it. Returns the written files.
pub(crate) fn build_and_install(root: &Path, paths: &InstallPaths) -> Result<Vec<PathBuf>> {
    let release = {
        let _build_lock = shell::lock_build(root)?;
        println!("building the library");
        let build = ["build", "--release", "-p", "meshage-ffi"];
        shell::run(&mut shell::cargo(root, &build))?;
        shell::target(root).join("release")
    };
    let system = native::libraries(root)?;
    install(&plan::items(root, &release, paths, &system), paths)
}

fn parse(arguments: &[String]) -> Result<(InstallPaths, bool)> {
    let mut prefix = PathBuf::from(PREFIX);
    let mut libdir = PathBuf::from(LIBDIR);
    let mut destdir = None;
    let mut uninstall = false;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let (option, mut value) = match argument.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut path = || match value.take().or_else(|| arguments.next().cloned()) {
            Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
            Some(_) | None => Err(format!("the option {option} needs a folder")),
        };
        match option {
            "--prefix" => prefix = absolute(&path()?)?,
            "--libdir" => libdir = path()?,
            "--destdir" => destdir = Some(absolute(&path()?)?),
            "--uninstall" => uninstall = true,
            other => {
                let why = format!(
                    "unknown option {other:?}; --libdir is relative to the prefix, or absolute"
                );
                return Err(command_usage::error("install", &why));
            }
        }
    }
    Ok((InstallPaths { libdir: prefix.join(libdir), prefix, destdir }, uninstall))
}

/// Resolves a folder against the current folder.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn install(items: &[Item], paths: &InstallPaths) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for item in items {
        let to = paths.staged(&item.to);
        write(item, &to).map_err(|error| format!("cannot install {}: {error}", to.display()))?;
        written.push(to);
    }
    Ok(written)
}

/// Writes a file beside its destination and renames it, so that running programs keep the old library.
fn write(item: &Item, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(to);
    std::fs::create_dir_all(folder)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = match &item.content {
        Content::File(from) => std::fs::copy(from, &temporary).map(|_| ()),
        Content::Text(text) => std::fs::write(&temporary, text),
        Content::Prefixed(line, from) => std::fs::read_to_string(from)
            .and_then(|text| std::fs::write(&temporary, format!("{line}\n{text}"))),
        Content::Link(target) => std::os::unix::fs::symlink(target, &temporary),
    };
    let result = written
        .and_then(|()| set_mode(item, &temporary))
        .and_then(|()| std::fs::rename(&temporary, to));
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Makes an installed file readable for all users, whatever the umask is.
fn set_mode(item: &Item, file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match &item.content {
        Content::Link(_) => Ok(()),
        Content::File(_) | Content::Text(_) | Content::Prefixed(..) => {
            let bits = if item.is_library() { 0o755 } else { 0o644 };
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(bits))
        }
    }
}

fn remove(files: &[PathBuf], paths: &InstallPaths) -> Result<()> {
    for path in files {
        let path = paths.staged(path);
        match std::fs::remove_file(&path) {
            Ok(()) => println!("  removed {}", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot remove {}: {error}", path.display())),
        }
    }
    for folder in OWN_FOLDERS {
        // A folder with other files is not removed.
        let _ = std::fs::remove_dir(paths.staged(&paths.prefix.join(folder)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(InstallPaths, bool)> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn libraries_are_in_lib_below_the_prefix_by_default() {
        let (paths, uninstall) = parsed("--prefix /opt/mesh").expect("well-formed");
        assert_eq!(paths, InstallPaths::below("/opt/mesh"));
        assert!(!uninstall);
        assert_eq!(parsed("").expect("the default").0, InstallPaths::below("/usr/local"));
    }

    #[test]
    fn a_libdir_is_relative_to_the_prefix_or_absolute() {
        let libdir = |line| parsed(line).expect("well-formed").0.libdir;
        assert_eq!(libdir("--libdir=lib64 --prefix=/usr"), Path::new("/usr/lib64"));
        assert_eq!(libdir("--prefix /usr --libdir /lib/x"), Path::new("/lib/x"));
    }

    #[test]
    fn a_destdir_precedes_every_path() {
        let (paths, _) = parsed("--prefix /usr --destdir /pkg").expect("well-formed");
        assert_eq!(paths.staged(Path::new("/usr/lib")), Path::new("/pkg/usr/lib"));
    }

    #[test]
    fn a_mistyped_option_is_an_error() {
        assert!(parsed("--prefx /usr").is_err());
        assert!(parsed("--prefix").is_err());
    }

    #[test]
    fn only_installed_files_are_uninstalled() {
        let folder = shell::target(&shell::root()).join("tmp/install-and-uninstall");
        let _ = std::fs::remove_dir_all(&folder);
        let paths = InstallPaths::below(&folder);
        let items: Vec<Item> = plan::file_paths(&paths)
            .into_iter()
            .map(|to| Item { to, content: Content::Text("x".into()) })
            .collect();
        install(&items, &paths).expect("it installs");
        install(&items, &paths).expect("it replaces the old copy");
        let others = folder.join("share/doc/meshage/notes");
        std::fs::write(&others, "another file").expect("a file");
        remove(&plan::file_paths(&paths), &paths).expect("it is removed");
        assert!(items.iter().all(|item| !item.to.exists()));
        assert!(others.exists() && !folder.join("share/cmake/meshage").exists());
        remove(&plan::file_paths(&paths), &paths).expect("removing twice is no error");
    }
}
