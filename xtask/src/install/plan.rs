//! What is installed, and from what.

use std::path::{Path, PathBuf};

use super::{LIBDIR, Places, pc};

/// The version of everything in the workspace.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where the CMake package goes, from the prefix: CMake looks there, and cargo-c can put it there.
const CMAKE: &str = "share/cmake/meshage";

/// One file of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Where programs will see it.
    pub(super) to: PathBuf,
    /// What it is.
    pub(super) content: Content,
}

/// Where what a file holds comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A copy of this file.
    File(PathBuf),
    /// This text.
    Text(String),
    /// This line, then a copy of this file.
    Headed(String, PathBuf),
    /// A link to the file of this name beside it.
    Link(String),
}

impl Item {
    /// Whether it is the shared library itself.
    pub(super) fn is_library(&self) -> bool {
        self.to.to_string_lossy().contains(".so")
    }
}

/// Where everything goes.
pub(super) fn paths(places: &Places) -> Vec<PathBuf> {
    let nothing = Path::new("");
    items(nothing, nothing, places, "").into_iter().map(|item| item.to).collect()
}

/// Everything, in the order in which it is written. `release` is where the library was built,
/// `system` what its static form needs of the system.
pub(super) fn items(root: &Path, release: &Path, places: &Places, system: &str) -> Vec<Item> {
    let whole = format!("libmeshage.so.{VERSION}");
    let soname = format!("libmeshage.so.{}", compatibility(VERSION));
    let (prefix, libdir) = (&places.prefix, &places.libdir);
    let file = |to: PathBuf, from: PathBuf| Item { to, content: Content::File(from) };
    let link = |name: &str| Item { to: libdir.join(name), content: Content::Link(whole.clone()) };
    let cmake = |name: &str| root.join("meshage-ffi/cmake").join(name);
    let mut items = Vec::new();
    for header in ["meshage.h", "meshage.hpp"] {
        items.push(file(prefix.join("include").join(header), root.join("include").join(header)));
    }
    items.push(file(libdir.join(&whole), release.join("libmeshage.so")));
    items.push(link(&soname));
    items.push(link("libmeshage.so"));
    items.push(file(libdir.join("libmeshage.a"), release.join("libmeshage.a")));
    items.push(Item {
        to: libdir.join("pkgconfig/meshage.pc"),
        content: Content::Text(pc::text(places, system)),
    });
    items.push(Item {
        to: prefix.join(CMAKE).join("meshageConfig.cmake"),
        content: config(&cmake("meshageConfig.cmake"), places),
    });
    let version = "meshageConfigVersion.cmake";
    items.push(file(prefix.join(CMAKE).join(version), cmake(version)));
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        items.push(file(prefix.join("share/doc/meshage").join(licence), root.join(licence)));
    }
    items
}

/// The package for CMake; one for an unusual folder of libraries says it first.
fn config(file: &Path, places: &Places) -> Content {
    if places.libdir == places.prefix.join(LIBDIR) {
        return Content::File(file.to_path_buf());
    }
    let libdir = places.libdir.strip_prefix(&places.prefix).unwrap_or(&places.libdir);
    Content::Headed(format!("set(meshage_LIBDIR \"{}\")", libdir.display()), file.to_path_buf())
}

/// The part of a version within which programs go on to run: 0.1 of 0.1.7, 2 of 2.3.4. Semantic
/// versioning has it so, and cargo-c.
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
    fn the_links_lead_to_the_library_of_the_whole_version() {
        let items = items(Path::new("/src"), Path::new("/out"), &Places::below("/p"), "-lc");
        let links: Vec<_> = items
            .iter()
            .filter(|item| item.content == Content::Link(format!("libmeshage.so.{VERSION}")))
            .map(|item| item.to.display().to_string())
            .collect();
        let soname = format!("/p/lib/libmeshage.so.{}", compatibility(VERSION));
        assert_eq!(links, [soname.as_str(), "/p/lib/libmeshage.so"]);
    }
}
