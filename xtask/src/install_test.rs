//! Tests an installed copy from outside the tree: projects find it only through pkg-config or CMake,
//! and each of their programs runs until it has exchanged greetings with another.
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

use crate::install::{self, InstallPaths};
use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::temp_folder::TempFolder;
use crate::{build, go, greeting};

/// The files of the test projects.
const PROJECT: [&str; 4] = [
    "examples-c/outside/Makefile",
    "examples-c/outside/CMakeLists.txt",
    "examples-c/first.c",
    "examples-cpp/first.cpp",
];

/// The libraries that the shared library may need: those of the C library (with glibc before 2.34,
/// several), its loader, and GCC's runtime library, from which Rust takes the unwinding of panics.
const NEEDED: [&str; 7] =
    ["libc.", "libm.so.", "libpthread.so.", "libdl.so.", "librt.so.", "ld-linux", "libgcc_s.so."];

/// Installs the library, then builds each project and runs its programs.
pub(crate) fn run(root: &Path, tally: &mut Tally) {
    let folder = match TempFolder::new("install") {
        Ok(folder) => folder,
        Err(why) => return tally.skip("the tests of an installed copy", &why),
    };
    let copy = Copy {
        root,
        folder: folder.path(),
        paths: InstallPaths::below(folder.path().join("prefix")),
    };
    if !tally.check("the library can be installed", || {
        install::build_and_install(root, &copy.paths).map(|_| ())
    }) {
        return;
    }
    if shell::is_installed("readelf") {
        tally.check("the shared library needs only the C library and libgcc_s", || {
            copy.check_needed_libraries()
        });
    } else {
        tally.skip("the libraries that the shared library needs", "readelf is not installed");
    }
    match ["make", "pkg-config"].into_iter().find(|tool| !shell::is_installed(tool)) {
        Some(missing) => {
            tally.skip("projects with make and pkg-config", &format!("{missing} is not installed"));
        }
        None => {
            tally.check("a project with make and pkg-config links the shared library", || {
                copy.make("shared", &[])
            });
            tally.check("a project with make and pkg-config links the static library", || {
                copy.make("static", &["STATIC=1"])
            });
        }
    }
    if shell::is_installed("cmake") {
        tally.check(
            "a CMake project links the shared and the static library, and the C++ wrapper",
            || copy.cmake(),
        );
        tally.check("CMake finds a copy that was moved and has another library folder", || {
            copy.moved()
        });
        tally.check("CMake accepts compatible versions only", || copy.versions());
    } else {
        tally.skip("CMake projects", "cmake is not installed");
    }
    match ["go", "pkg-config"].into_iter().find(|tool| !shell::is_installed(tool)) {
        Some(missing) => tally.skip("a Go module", &format!("{missing} is not installed")),
        None => {
            tally.check(
                "a Go module links the shared and the static library, but no other version",
                || copy.go(),
            );
        }
    }
    tally.check("a library of another version fails to link, with the reason", || {
        copy.other_version()
    });
    if shell::is_installed("cargo-cinstall") {
        tally.check("cargo cinstall installs the same files", || copy.cargo_c());
    } else {
        tally.skip("cargo cinstall", "cargo-c is not installed (cargo install --locked cargo-c)");
    }
}

/// An installed copy.
struct Copy<'a> {
    root: &'a Path,
    folder: &'a Path,
    paths: InstallPaths,
}

impl Copy<'_> {
    /// Checks that the README is right about what the library needs.
    fn check_needed_libraries(&self) -> Result<()> {
        let mut readelf = shell::command(self.folder, "readelf");
        let text = shell::run_quietly(
            readelf.args(["-d", "-W"]).arg(self.paths.libdir.join("libmeshage.so")),
        )?;
        let needed = needed_libraries(&text);
        match needed.iter().find(|name| !NEEDED.iter().any(|known| name.starts_with(known))) {
            None if needed.is_empty() => Err(format!("readelf lists no library:\n{text}")),
            None => Ok(()),
            Some(other) => Err(format!("the library needs {other}; the README does not say so")),
        }
    }

    fn make(&self, name: &str, variables: &[&str]) -> Result<()> {
        let project = self.project(name)?;
        let mut make = shell::without_library_paths(shell::command(&project, "make"));
        make.args(variables).env("PKG_CONFIG_PATH", self.paths.libdir.join("pkgconfig"));
        shell::run_quietly(&mut make)?;
        let (c, cpp) = (project.join("first"), project.join("first_cpp"));
        for program in [&c, &cpp] {
            check_needs_shared_library(program, name == "shared")?;
        }
        greet(&c, &cpp)
    }

    fn cmake(&self) -> Result<()> {
        let project = self.project("cmake")?;
        cmake(&project, &self.paths.prefix, None)?;
        let program = |name: &str| project.join("build").join(name);
        check_needs_shared_library(&program("first"), true)?;
        check_needs_shared_library(&program("first_static"), false)?;
        greet(&program("first"), &program("first_static"))?;
        greet(&program("first_cpp"), &program("first"))
    }

    fn moved(&self) -> Result<()> {
        let (made, moved) = (self.folder.join("made"), self.folder.join("moved"));
        let mut paths = InstallPaths::below(&made);
        paths.libdir = made.join("lib/odd");
        install::build_and_install(self.root, &paths)?;
        std::fs::rename(&made, &moved).map_err(|error| format!("cannot move the copy: {error}"))?;
        let project = self.project("cmake-moved")?;
        cmake(&project, &moved, Some("first_static"))?;
        let program = project.join("build/first_static");
        greet(&program, &program)
    }

    /// Requests versions and components from CMake, and checks which ones it finds.
    fn versions(&self) -> Result<()> {
        let [major, minor, patch] = [0, 1, 2].map(version_part);
        let next = minor + 1;
        let requests = [
            (format!("{major}.{minor}"), true),
            (format!("{major}.{minor}.{patch} EXACT COMPONENTS static shared"), true),
            (format!("{major}.{minor}...<{major}.{next}"), true),
            (format!("{major}.{next}"), false),
            (format!("{major}.{minor}.{}", patch + 1), false),
            (format!("{}.{minor}", major + 1), false),
            ("COMPONENTS dynamic".to_owned(), false),
        ];
        let project = self.project("versions")?;
        for (request, expected) in requests {
            let text = format!(
                "cmake_minimum_required(VERSION 3.13)\nproject(versions LANGUAGES NONE)\n\
                 find_package(meshage {request} REQUIRED)\n"
            );
            std::fs::write(project.join("CMakeLists.txt"), text)
                .map_err(|error| format!("cannot write a project: {error}"))?;
            let mut configure = shell::without_library_paths(shell::command(&project, "cmake"));
            // Older versions of CMake do not have --fresh.
            let _ = std::fs::remove_dir_all(project.join("build"));
            configure
                .args(["-B", "build"])
                .arg(format!("-DCMAKE_PREFIX_PATH={}", self.paths.prefix.display()));
            let (found, text) = shell::capture(&mut configure)?;
            if found != expected {
                return Err(format!("find_package(meshage {request}): found is {found}:\n{text}"));
            }
        }
        Ok(())
    }

    /// Builds a module with the shared library, then with the tag for the static one, then against a
    /// library of another version.
    fn go(&self) -> Result<()> {
        let project = self.project_folder("go")?;
        let main = self.root.join("meshage-go/examples/first/main.go");
        std::fs::copy(main, project.join("main.go"))
            .map_err(|error| format!("cannot copy the Go program: {error}"))?;
        let go = |arguments: &[&str]| {
            let mut command = shell::without_library_paths(shell::command(&project, "go"));
            command.args(arguments).env("PKG_CONFIG_PATH", self.paths.libdir.join("pkgconfig"));
            command.env("CGO_CFLAGS", go::cgo_flags(self.folder));
            command
        };
        let replace = format!("-replace=meshage={}", self.root.join("meshage-go").display());
        shell::run_quietly(&mut go(&["mod", "init", "first"]))?;
        shell::run_quietly(&mut go(&["mod", "edit", "-require=meshage@v0.0.0", &replace]))?;
        let folder = format!("-r {}", self.paths.libdir.display());
        shell::run_quietly(&mut go(&["build", "-ldflags", &folder, "-o", "shared"]))?;
        shell::run_quietly(&mut go(&["build", "-tags", "meshage_static", "-o", "static"]))?;
        let (shared, statically) = (project.join("shared"), project.join("static"));
        check_needs_shared_library(&shared, true)?;
        check_needs_shared_library(&statically, false)?;
        greet(&shared, &statically)?;
        create_empty_library(&project)?;
        let mut other_version = go(&["build", "-o", "other"]);
        other_version.env("CGO_LDFLAGS", format!("-L{}", project.display()));
        let (linked, text) = shell::capture(&mut other_version)?;
        expect_missing_version(linked, &text)
    }

    /// Links against a library without the function that is named after the version.
    fn other_version(&self) -> Result<()> {
        let project = self.project("other-version")?;
        create_empty_library(&project)?;
        let mut link = build::compiler(&project, "CXX", "c++");
        link.args(["-std=c++17", "first.cpp", "-I"]).arg(self.paths.prefix.join("include"));
        link.args(["-L.", "-lmeshage", "-o", "first"]);
        let (linked, text) = shell::capture(&mut link)?;
        expect_missing_version(linked, &text)
    }

    fn cargo_c(&self) -> Result<()> {
        let prefix = self.folder.join("cargo-c");
        let _build_lock = shell::lock_build(self.root)?;
        let mut cinstall = shell::cargo(self.root, &["cinstall", "--release"]);
        cinstall.args(["-p", "meshage-ffi", "--libdir", "lib", "--prefix"]).arg(&prefix);
        shell::run_quietly(&mut cinstall)?;
        let (ours, theirs) = (contents(&self.paths.prefix)?, contents(&prefix)?);
        if ours == theirs {
            return Ok(());
        }
        let differ = |file: &&PathBuf| ours.get(*file) != theirs.get(*file);
        let mut files: Vec<&PathBuf> = ours.keys().chain(theirs.keys()).filter(differ).collect();
        files.sort();
        files.dedup();
        Err(format!("these files differ: {files:?}"))
    }

    /// A new folder for a project.
    fn project_folder(&self, name: &str) -> Result<PathBuf> {
        let project = self.folder.join(name);
        let made = std::fs::create_dir_all(&project);
        made.map_err(|error| format!("cannot create {}: {error}", project.display()))?;
        Ok(project)
    }

    /// A new project with the files of the test projects.
    fn project(&self, name: &str) -> Result<PathBuf> {
        let project = self.project_folder(name)?;
        for file in PROJECT {
            let from = self.root.join(file);
            let to = project.join(from.file_name().unwrap_or_default());
            std::fs::copy(&from, to).map_err(|error| format!("cannot copy {file}: {error}"))?;
        }
        Ok(project)
    }
}

/// The names in the lines `(NEEDED)  Shared library: [libc.so.6]` of readelf.
fn needed_libraries(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| line.contains("(NEEDED)"));
    lines.filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0)).collect()
}

/// Creates an empty library with the name of this one.
fn create_empty_library(folder: &Path) -> Result<()> {
    let mut compile = build::compiler(folder, "CC", "cc");
    compile.args(["-shared", "-x", "c", "/dev/null", "-o", "libmeshage.so"]);
    shell::run_quietly(&mut compile).map(|_| ())
}

/// Checks that a program failed to link because the function named after the version is missing.
fn expect_missing_version(linked: bool, text: &str) -> Result<()> {
    let version = install::compatibility(env!("CARGO_PKG_VERSION")).replace('.', "_");
    let function = format!("meshage_abi_{version}");
    match !linked && text.contains(&function) {
        true => Ok(()),
        false => Err(format!("the linker does not report that {function} is missing:\n{text}")),
    }
}

/// One of the three numbers of the version.
fn version_part(at: usize) -> u64 {
    let part = env!("CARGO_PKG_VERSION").split(['.', '-', '+']).nth(at);
    part.and_then(|part| part.parse().ok()).unwrap_or_default()
}

fn cmake(project: &Path, prefix: &Path, target: Option<&str>) -> Result<()> {
    let mut configure = shell::without_library_paths(shell::command(project, "cmake"));
    let prefix_path = format!("-DCMAKE_PREFIX_PATH={}", prefix.display());
    configure.args(["-B", "build", "-DCMAKE_BUILD_TYPE=Release", &prefix_path]);
    shell::run_quietly(&mut configure)?;
    let mut make = shell::without_library_paths(shell::command(project, "cmake"));
    make.args(["--build", "build"]);
    shell::run_quietly(make.args(target.map(|target| ["--target", target]).into_iter().flatten()))
        .map(|_| ())
}

/// Checks whether a program needs the shared library, by its soname.
fn check_needs_shared_library(program: &Path, expected: bool) -> Result<()> {
    let bytes = std::fs::read(program)
        .map_err(|error| format!("cannot read {}: {error}", program.display()))?;
    let soname = format!("libmeshage.so.{}\0", install::compatibility(env!("CARGO_PKG_VERSION")));
    let needs_it = bytes.windows(soname.len()).any(|window| window == soname.as_bytes());
    match needs_it == expected {
        true => Ok(()),
        false if expected => Err(format!("{} does not need {soname:?}", program.display())),
        false => Err(format!("{} needs the shared library", program.display())),
    }
}

/// Runs both programs until each has received a greeting from the other.
fn greet(one: &Path, other: &Path) -> Result<()> {
    greeting::exchange_greetings(
        shell::without_library_paths(Command::new(one)),
        shell::without_library_paths(Command::new(other)),
    )
}

/// Every file below a prefix: a link with its target, a text with a placeholder for the prefix, a
/// library by its name alone.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_needed_libraries_are_found_in_the_output_of_readelf() {
        let text = "\
 0x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000000e (SONAME)             Library soname: [libmeshage.so.0.1]
";
        assert_eq!(needed_libraries(text), ["libgcc_s.so.1", "libc.so.6"]);
    }
}
