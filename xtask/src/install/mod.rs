//! `cargo xtask install`: the library where programs outside this tree find it.
//!
//! ```text
//!  PREFIX/include/meshage.h, meshage.hpp
//!  PREFIX/lib/libmeshage.so ─► libmeshage.so.0.1.0 ◄─ libmeshage.so.0.1 (the soname)
//!  PREFIX/lib/libmeshage.a, pkgconfig/meshage.pc
//!  PREFIX/share/cmake/meshage/, doc/meshage/
//! ```
//!
//! `cargo cinstall --prefix PREFIX --libdir lib` does the same (meshage-ffi/Cargo.toml tells it how);
//! a test compares the two. What is written is what [`plan`] lists, and `--uninstall` removes that.

mod native;
mod pc;
mod plan;

use std::io;
use std::path::{Path, PathBuf};

use crate::shell::{self, Result};

pub(crate) use plan::compatibility;
use plan::{Content, Item};

/// Where things go unless one says otherwise.
const PREFIX: &str = "/usr/local";
/// Where libraries go, from the prefix.
const LIBDIR: &str = "lib";
/// What is removed with the files in it, where nothing else is left there.
const OWN_FOLDERS: [&str; 2] = ["share/cmake/meshage", "share/doc/meshage"];

/// Where to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// The folder that programs will see it in.
    pub(crate) prefix: PathBuf,
    /// The folder of the libraries, whole.
    pub(crate) libdir: PathBuf,
    /// What stands before all of it while a package is made.
    pub(crate) destdir: Option<PathBuf>,
}

impl Places {
    /// Below a prefix, with all else at its default.
    pub(crate) fn below(prefix: impl Into<PathBuf>) -> Self {
        let prefix = prefix.into();
        Self { libdir: prefix.join(LIBDIR), prefix, destdir: None }
    }

    /// Where a file is written that programs will see at `path`.
    fn staged(&self, path: &Path) -> PathBuf {
        match (&self.destdir, path.strip_prefix("/")) {
            (Some(destdir), Ok(below)) => destdir.join(below),
            (Some(_) | None, _) => path.to_path_buf(),
        }
    }
}

/// Installs or uninstalls, as the arguments say.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (places, uninstall) = parse(arguments)?;
    if !cfg!(target_os = "linux") {
        return Err("it knows Linux alone; elsewhere, use cargo-c's `cargo cinstall`".into());
    }
    if uninstall {
        return remove(&plan::paths(&places), &places);
    }
    for path in into(root, &places)? {
        println!("  {}", path.display());
    }
    println!("{}", found_by(&places));
    Ok(())
}

/// What tells compilers and programs of this copy, where they do not look there anyway.
fn found_by(places: &Places) -> String {
    let (prefix, libdir) = (places.prefix.display(), places.libdir.display());
    format!(
        "pkg-config finds it with PKG_CONFIG_PATH={libdir}/pkgconfig\n\
         CMake finds it with -DCMAKE_PREFIX_PATH={prefix}\n\
         programs find it with -Wl,-rpath,{libdir}, or after ldconfig where {libdir} is the system's"
    )
}

/// Builds the library and installs it; the files that were written.
pub(crate) fn into(root: &Path, places: &Places) -> Result<Vec<PathBuf>> {
    let release = {
        let _others_wait = shell::alone(root)?;
        println!("building the library");
        let build = ["build", "--release", "-p", "meshage-ffi"];
        shell::run(&mut shell::cargo(root, &build))?;
        shell::target(root).join("release")
    };
    let system = native::libraries(root)?;
    install(&plan::items(root, &release, places, &system), places)
}

fn parse(arguments: &[String]) -> Result<(Places, bool)> {
    let mut prefix = PathBuf::from(PREFIX);
    let mut libdir = PathBuf::from(LIBDIR);
    let mut destdir = None;
    let mut uninstall = false;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let (option, mut value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let mut path = || match value.take().or_else(|| words.next().cloned()) {
            Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
            Some(_) | None => Err(format!("{option} wants a folder")),
        };
        match option {
            "--prefix" => prefix = absolute(&path()?)?,
            "--libdir" => libdir = path()?,
            "--destdir" => destdir = Some(absolute(&path()?)?),
            "--uninstall" => uninstall = true,
            other => {
                return Err(format!(
                    "no option {other:?}: there are --prefix DIR, --libdir DIR (below the prefix, \
                     or whole), --destdir DIR, --uninstall"
                ));
            }
        }
    }
    Ok((Places { libdir: prefix.join(libdir), prefix, destdir }, uninstall))
}

/// A folder as whoever typed it means it.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn install(items: &[Item], places: &Places) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for item in items {
        let to = places.staged(&item.to);
        write(item, &to).map_err(|error| format!("cannot install {}: {error}", to.display()))?;
        written.push(to);
    }
    Ok(written)
}

/// Writes a file beside its place and moves it there: a program that runs keeps the old library.
fn write(item: &Item, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(to);
    std::fs::create_dir_all(folder)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.{}", std::process::id()));
    let written = match &item.content {
        Content::File(from) => std::fs::copy(from, &fresh).map(|_| ()),
        Content::Text(text) => std::fs::write(&fresh, text),
        Content::Headed(line, from) => std::fs::read_to_string(from)
            .and_then(|text| std::fs::write(&fresh, format!("{line}\n{text}"))),
        Content::Link(target) => std::os::unix::fs::symlink(target, &fresh),
    };
    let done = written.and_then(|()| mode(item, &fresh)).and_then(|()| std::fs::rename(&fresh, to));
    if done.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    done
}

/// Everybody may read what is installed, whatever the one who installs keeps to himself.
fn mode(item: &Item, file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match &item.content {
        Content::Link(_) => Ok(()),
        Content::File(_) | Content::Text(_) | Content::Headed(..) => {
            let bits = if item.is_library() { 0o755 } else { 0o644 };
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(bits))
        }
    }
}

fn remove(paths: &[PathBuf], places: &Places) -> Result<()> {
    for path in paths {
        let path = places.staged(path);
        match std::fs::remove_file(&path) {
            Ok(()) => println!("  removed {}", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot remove {}: {error}", path.display())),
        }
    }
    for folder in OWN_FOLDERS {
        // One that holds somebody else's file stays.
        let _ = std::fs::remove_dir(places.staged(&places.prefix.join(folder)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Places, bool)> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_prefix_alone_puts_libraries_into_its_lib() {
        let (places, uninstall) = parsed("--prefix /opt/mesh").expect("well-formed");
        assert_eq!(places, Places::below("/opt/mesh"));
        assert!(!uninstall);
        assert_eq!(parsed("").expect("the default").0, Places::below("/usr/local"));
    }

    #[test]
    fn a_libdir_is_below_the_prefix_or_whole() {
        let libdir = |line| parsed(line).expect("well-formed").0.libdir;
        assert_eq!(libdir("--libdir=lib64 --prefix=/usr"), Path::new("/usr/lib64"));
        assert_eq!(libdir("--prefix /usr --libdir /lib/x"), Path::new("/lib/x"));
    }

    #[test]
    fn a_destdir_stands_before_everything() {
        let (places, _) = parsed("--prefix /usr --destdir /pkg").expect("well-formed");
        assert_eq!(places.staged(Path::new("/usr/lib")), Path::new("/pkg/usr/lib"));
    }

    #[test]
    fn a_mistyped_option_is_told() {
        assert!(parsed("--prefx /usr").is_err());
        assert!(parsed("--prefix").is_err());
    }

    #[test]
    fn what_was_installed_is_uninstalled_and_nothing_else() {
        let folder = shell::target(&shell::root()).join("tmp/install-and-back");
        let _ = std::fs::remove_dir_all(&folder);
        let places = Places::below(&folder);
        let items: Vec<Item> = plan::paths(&places)
            .into_iter()
            .map(|to| Item { to, content: Content::Text("x".into()) })
            .collect();
        install(&items, &places).expect("it installs");
        install(&items, &places).expect("over the old one, too");
        let others = folder.join("share/doc/meshage/notes");
        std::fs::write(&others, "somebody's").expect("a file");
        remove(&plan::paths(&places), &places).expect("it goes");
        assert!(items.iter().all(|item| !item.to.exists()));
        assert!(others.exists() && !folder.join("share/cmake/meshage").exists());
        remove(&plan::paths(&places), &places).expect("twice is no error");
    }
}
