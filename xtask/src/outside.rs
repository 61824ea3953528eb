//! An installed copy, used as a stranger would: projects outside the tree that know it by
//! pkg-config or CMake alone, each program run until it and another have greeted each other.
//!
//! ```text
//!  install into a temporary folder ─┬─► Makefile (pkg-config): shared, static
//!                                   ├─► CMake: meshage::shared, meshage::static, C++
//!                                   ├─► a Go module: shared, static
//!                                   ├─► moved elsewhere, CMake again
//!                                   └─► cargo-c's copy, file by file
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::install::{self, Places};
use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::{build, go, greeting};

/// The project's files, from the top folder.
const PROJECT: [&str; 4] = [
    "examples-c/outside/Makefile",
    "examples-c/outside/CMakeLists.txt",
    "examples-c/first.c",
    "examples-cpp/first.cpp",
];

/// Installs, then builds each project and runs what it made.
pub(crate) fn run(root: &Path, tally: &mut Tally) {
    let folder = match shell::Folder::outside("outside") {
        Ok(folder) => folder,
        Err(why) => return tally.skip("an installed copy", &why),
    };
    let copy = Copy { root, folder: &folder.0, places: Places::below(folder.0.join("prefix")) };
    if !tally.check("the library is installed", || install::into(root, &copy.places).map(|_| ())) {
        return;
    }
    match ["make", "pkg-config"].into_iter().find(|tool| !shell::is_installed(tool)) {
        Some(missing) => {
            tally.skip("make and pkg-config", &format!("{missing} is not installed"));
        }
        None => {
            tally.check("make and pkg-config: the shared library", || copy.make("shared", &[]));
            tally.check("make and pkg-config: the static library", || {
                copy.make("static", &["STATIC=1"])
            });
        }
    }
    if shell::is_installed("cmake") {
        tally.check("CMake: meshage::shared, meshage::static, C++", || copy.cmake());
        tally.check("CMake: a copy that was moved, with another folder for libraries", || {
            copy.moved()
        });
        tally.check("CMake: a version that serves is taken, another is not", || copy.versions());
    } else {
        tally.skip("the CMake package", "cmake is not installed");
    }
    match ["go", "pkg-config"].into_iter().find(|tool| !shell::is_installed(tool)) {
        Some(missing) => tally.skip("a Go module", &format!("{missing} is not installed")),
        None => {
            tally.check("a Go module: shared, static, stale", || copy.go());
        }
    }
    tally.check("a library of another version fails to link, and says why", || copy.stale());
    if shell::is_installed("cargo-cinstall") {
        tally.check("cargo cinstall installs the same", || copy.cargo_c());
    } else {
        tally.skip("cargo cinstall", "cargo-c is not installed (cargo install --locked cargo-c)");
    }
}

/// An installed copy.
struct Copy<'a> {
    root: &'a Path,
    folder: &'a Path,
    places: Places,
}

impl Copy<'_> {
    fn make(&self, name: &str, variables: &[&str]) -> Result<()> {
        let project = self.project(name)?;
        let mut make = clean(shell::command(&project, "make"));
        make.args(variables).env("PKG_CONFIG_PATH", self.places.libdir.join("pkgconfig"));
        shell::quietly(&mut make)?;
        let (c, cpp) = (project.join("first"), project.join("first_cpp"));
        for program in [&c, &cpp] {
            needs_the_shared_library(program, name == "shared")?;
        }
        greet(&c, &cpp)
    }

    fn cmake(&self) -> Result<()> {
        let project = self.project("cmake")?;
        cmake(&project, &self.places.prefix, None)?;
        let program = |name: &str| project.join("build").join(name);
        needs_the_shared_library(&program("first"), true)?;
        needs_the_shared_library(&program("first_static"), false)?;
        greet(&program("first"), &program("first_static"))?;
        greet(&program("first_cpp"), &program("first"))
    }

    fn moved(&self) -> Result<()> {
        let (made, moved) = (self.folder.join("made"), self.folder.join("moved"));
        let mut places = Places::below(&made);
        places.libdir = made.join("lib/odd");
        install::into(self.root, &places)?;
        std::fs::rename(&made, &moved).map_err(|error| format!("it cannot be moved: {error}"))?;
        let project = self.project("cmake-moved")?;
        cmake(&project, &moved, Some("first_static"))?;
        let program = project.join("build/first_static");
        greet(&program, &program)
    }

    /// Asks CMake for versions and parts, and compares what it says.
    fn versions(&self) -> Result<()> {
        let [major, minor, patch] = [0, 1, 2].map(part_of_the_version);
        let next = minor + 1;
        let asked = [
            (format!("{major}.{minor}"), true),
            (format!("{major}.{minor}.{patch} EXACT COMPONENTS static shared"), true),
            (format!("{major}.{minor}...<{major}.{next}"), true),
            (format!("{major}.{next}"), false),
            (format!("{major}.{minor}.{}", patch + 1), false),
            (format!("{}.{minor}", major + 1), false),
            ("COMPONENTS dynamic".to_owned(), false),
        ];
        let project = self.project("versions")?;
        for (words, should) in asked {
            let text = format!(
                "cmake_minimum_required(VERSION 3.13)\nproject(asks LANGUAGES NONE)\n\
                 find_package(meshage {words} REQUIRED)\n"
            );
            std::fs::write(project.join("CMakeLists.txt"), text)
                .map_err(|error| format!("no project: {error}"))?;
            let mut configure = clean(shell::command(&project, "cmake"));
            // Older ones know no --fresh.
            let _ = std::fs::remove_dir_all(project.join("build"));
            configure
                .args(["-B", "build"])
                .arg(format!("-DCMAKE_PREFIX_PATH={}", self.places.prefix.display()));
            let (found, text) = shell::capture(&mut configure)?;
            if found != should {
                return Err(format!("find_package(meshage {words}): found is {found}:\n{text}"));
            }
        }
        Ok(())
    }

    /// A module of its own, linked to the shared library, then with the tag for the static one, then
    /// against a library of another version.
    fn go(&self) -> Result<()> {
        let project = self.empty("go")?;
        let main = self.root.join("meshage-go/examples/first/main.go");
        std::fs::copy(main, project.join("main.go"))
            .map_err(|error| format!("cannot copy the Go program: {error}"))?;
        let go = |arguments: &[&str]| {
            let mut command = clean(shell::command(&project, "go"));
            command.args(arguments).env("PKG_CONFIG_PATH", self.places.libdir.join("pkgconfig"));
            command.env("CGO_CFLAGS", go::apart(self.folder));
            command
        };
        let replace = format!("-replace=meshage={}", self.root.join("meshage-go").display());
        shell::quietly(&mut go(&["mod", "init", "first"]))?;
        shell::quietly(&mut go(&["mod", "edit", "-require=meshage@v0.0.0", &replace]))?;
        let folder = format!("-r {}", self.places.libdir.display());
        shell::quietly(&mut go(&["build", "-ldflags", &folder, "-o", "shared"]))?;
        shell::quietly(&mut go(&["build", "-tags", "meshage_static", "-o", "static"]))?;
        let (shared, inside) = (project.join("shared"), project.join("static"));
        needs_the_shared_library(&shared, true)?;
        needs_the_shared_library(&inside, false)?;
        greet(&shared, &inside)?;
        fake_library(&project)?;
        let mut stale = go(&["build", "-o", "stale"]);
        stale.env("CGO_LDFLAGS", format!("-L{}", project.display()));
        let (linked, text) = shell::capture(&mut stale)?;
        says_the_version(linked, &text)
    }

    /// Links against a library that has everything but the function named for the version.
    fn stale(&self) -> Result<()> {
        let project = self.project("stale")?;
        fake_library(&project)?;
        let mut link = build::compiler(&project, "CXX", "c++");
        link.args(["-std=c++17", "first.cpp", "-I"]).arg(self.places.prefix.join("include"));
        link.args(["-L.", "-lmeshage", "-o", "first"]);
        let (linked, text) = shell::capture(&mut link)?;
        says_the_version(linked, &text)
    }

    fn cargo_c(&self) -> Result<()> {
        let prefix = self.folder.join("cargo-c");
        let _others_wait = shell::alone(self.root)?;
        let mut cinstall = shell::cargo(self.root, &["cinstall", "--release"]);
        cinstall.args(["-p", "meshage-ffi", "--libdir", "lib", "--prefix"]).arg(&prefix);
        shell::quietly(&mut cinstall)?;
        let (ours, theirs) = (contents(&self.places.prefix)?, contents(&prefix)?);
        if ours == theirs {
            return Ok(());
        }
        let differ = |file: &&PathBuf| ours.get(*file) != theirs.get(*file);
        let mut files: Vec<&PathBuf> = ours.keys().chain(theirs.keys()).filter(differ).collect();
        files.sort();
        files.dedup();
        Err(format!("these differ: {files:?}"))
    }

    /// A folder of its own.
    fn empty(&self, name: &str) -> Result<PathBuf> {
        let project = self.folder.join(name);
        let made = std::fs::create_dir_all(&project);
        made.map_err(|error| format!("no folder {}: {error}", project.display()))?;
        Ok(project)
    }

    /// A project of its own.
    fn project(&self, name: &str) -> Result<PathBuf> {
        let project = self.empty(name)?;
        for file in PROJECT {
            let from = self.root.join(file);
            let to = project.join(from.file_name().unwrap_or_default());
            std::fs::copy(&from, to).map_err(|error| format!("cannot copy {file}: {error}"))?;
        }
        Ok(project)
    }
}

/// A library of our name without anything in it.
fn fake_library(folder: &Path) -> Result<()> {
    let mut fake = build::compiler(folder, "CC", "cc");
    fake.args(["-shared", "-x", "c", "/dev/null", "-o", "libmeshage.so"]);
    shell::quietly(&mut fake).map(|_| ())
}

/// Whether a program did not link, for want of the function that is named for the version.
fn says_the_version(linked: bool, text: &str) -> Result<()> {
    let version = install::compatibility(env!("CARGO_PKG_VERSION")).replace('.', "_");
    let function = format!("meshage_abi_{version}");
    match !linked && text.contains(&function) {
        true => Ok(()),
        false => Err(format!("no word of {function}:\n{text}")),
    }
}

/// One of the version's three numbers.
fn part_of_the_version(at: usize) -> u64 {
    let part = env!("CARGO_PKG_VERSION").split(['.', '-', '+']).nth(at);
    part.and_then(|part| part.parse().ok()).unwrap_or_default()
}

fn cmake(project: &Path, prefix: &Path, target: Option<&str>) -> Result<()> {
    let mut configure = clean(shell::command(project, "cmake"));
    let prefix_path = format!("-DCMAKE_PREFIX_PATH={}", prefix.display());
    configure.args(["-B", "build", "-DCMAKE_BUILD_TYPE=Release", &prefix_path]);
    shell::quietly(&mut configure)?;
    let mut make = clean(shell::command(project, "cmake"));
    make.args(["--build", "build"]);
    shell::quietly(make.args(target.map(|target| ["--target", target]).into_iter().flatten()))
        .map(|_| ())
}

/// A command that finds no library but the installed one.
pub(crate) fn clean(mut command: Command) -> Command {
    for variable in ["LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "MAKEFLAGS", "STATIC"] {
        command.env_remove(variable);
    }
    command
}

/// Whether a program asks for the shared library by its soname, as it should or should not.
fn needs_the_shared_library(program: &Path, should: bool) -> Result<()> {
    let bytes =
        std::fs::read(program).map_err(|error| format!("no {}: {error}", program.display()))?;
    let soname = format!("libmeshage.so.{}\0", install::compatibility(env!("CARGO_PKG_VERSION")));
    let does = bytes.windows(soname.len()).any(|window| window == soname.as_bytes());
    match does == should {
        true => Ok(()),
        false if should => Err(format!("{} does not ask for {soname:?}", program.display())),
        false => Err(format!("{} asks for the shared library", program.display())),
    }
}

/// Runs both until each has been greeted by the other.
fn greet(one: &Path, other: &Path) -> Result<()> {
    greeting::greet(clean(Command::new(one)), clean(Command::new(other)))
}

/// Every file below a prefix: links as what they point to, text as it is but for the prefix, the
/// libraries by name alone.
fn contents(prefix: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![prefix.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let shown = path.strip_prefix(prefix).unwrap_or(&path).to_path_buf();
            if let Ok(to) = std::fs::read_link(&path) {
                found.insert(shown, format!("link to {}", to.display()));
            } else if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                found.insert(shown, text.replace(&prefix.display().to_string(), "PREFIX"));
            }
        }
    }
    Ok(found)
}
