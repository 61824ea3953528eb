//! The files of an installation and their sources.

use std::path::{Path, PathBuf};

use super::paths::{InstallPaths, LIBDIR};
use super::pc::{self, VERSION};

/// The folder of the CMake package below the prefix. CMake searches it, and cargo-c can write to it.
const CMAKE: &str = "share/cmake/meshage";

/// One file of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The path that programs will use.
    pub(super) to: PathBuf,
    /// The contents.
    pub(super) content: Content,
}

/// The contents of an installed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A copy of this file.
    File(PathBuf),
    /// This text.
    Text(String),
    /// This line, then a copy of this file.
    Prefixed(String, PathBuf),
    /// A link to the file of this name in the same folder.
    Link(String),
}

impl Item {
    /// Whether it is the shared library itself.
    pub(super) fn is_library(&self) -> bool {
        self.to.to_string_lossy().contains(".so")
    }
}

/// The paths of all files.
pub(super) fn file_paths(paths: &InstallPaths) -> Vec<PathBuf> {
    let nothing = Path::new("");
    items(nothing, nothing, paths, "").into_iter().map(|item| item.to).collect()
}

/// All files, in the order in which they are written. `release` is the folder of the built library.
/// `system` contains the linker flags that the static library needs.
pub(super) fn items(root: &Path, release: &Path, paths: &InstallPaths, system: &str) -> Vec<Item> {
    let full_name = format!("libmeshage.so.{VERSION}");
    let soname = format!("libmeshage.so.{}", compatibility(VERSION));
    let (prefix, libdir) = (&paths.prefix, &paths.libdir);
    let file = |to: PathBuf, from: PathBuf| Item { to, content: Content::File(from) };
    let link =
        |name: &str| Item { to: libdir.join(name), content: Content::Link(full_name.clone()) };
    let cmake = |name: &str| root.join("meshage-ffi/cmake").join(name);
    let mut items = Vec::new();
    for header in ["meshage.h", "meshage.hpp"] {
        items.push(file(prefix.join("include").join(header), root.join("include").join(header)));
    }
    items.push(file(libdir.join(&full_name), release.join("libmeshage.so")));
    items.push(link(&soname));
    items.push(link("libmeshage.so"));
    items.push(file(libdir.join("libmeshage.a"), release.join("libmeshage.a")));
    items.push(Item {
        to: libdir.join("pkgconfig/meshage.pc"),
        content: Content::Text(pc::text(paths, system)),
    });
    items.push(Item {
        to: prefix.join(CMAKE).join("meshageConfig.cmake"),
        content: config(&cmake("meshageConfig.cmake"), paths),
    });
    let version = "meshageConfigVersion.cmake";
    items.push(file(prefix.join(CMAKE).join(version), cmake(version)));
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        items.push(file(prefix.join("share/doc/meshage").join(licence), root.join(licence)));
    }
    items
}

/// The package for CMake. If the folder of the libraries is not the default, its first line sets it.
fn config(file: &Path, paths: &InstallPaths) -> Content {
    if paths.libdir == paths.prefix.join(LIBDIR) {
        return Content::File(file.to_path_buf());
    }
    let libdir = paths.libdir.strip_prefix(&paths.prefix).unwrap_or(&paths.libdir);
    Content::Prefixed(format!("set(meshage_LIBDIR \"{}\")", libdir.display()), file.to_path_buf())
}

/// The part of a version within which programs remain compatible: 0.1 for 0.1.7, 2 for 2.3.4. These
/// are the rules of semantic versioning and of cargo-c.
pub(crate) fn compatibility(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (major, _) => major.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_the_first_major_version_each_minor_one_may_break() {
        assert_eq!(compatibility("0.1.7"), "0.1");
        assert_eq!(compatibility("2.3.4"), "2");
        assert_eq!(compatibility("1.0.0-rc.1"), "1");
    }

    #[test]
    fn the_links_lead_to_the_library_with_the_full_version() {
        let items = items(Path::new("/src"), Path::new("/out"), &InstallPaths::below("/p"), "-lc");
        let links: Vec<_> = items
            .iter()
            .filter(|item| item.content == Content::Link(format!("libmeshage.so.{VERSION}")))
            .map(|item| item.to.display().to_string())
            .collect();
        let soname = format!("/p/lib/libmeshage.so.{}", compatibility(VERSION));
        assert_eq!(links, [soname.as_str(), "/p/lib/libmeshage.so"]);
    }
}
