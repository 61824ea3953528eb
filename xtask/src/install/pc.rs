//! `meshage.pc`, the description of an installed copy for pkg-config. cargo-c writes the same lines.

use std::path::Path;

use super::paths::InstallPaths;

/// The version of the workspace.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The description. cargo-c reads the same text from meshage-ffi/Cargo.toml.
const DESCRIPTION: &str =
    "Mesh message passing: nodes find each other and pass acknowledged messages by name";

/// The file for an installation. `system` contains the linker flags that the static library needs.
pub(super) fn text(paths: &InstallPaths, system: &str) -> String {
    format!(
        "\
prefix={prefix}
exec_prefix=${{prefix}}
libdir={libdir}
includedir=${{prefix}}/include

Name: meshage
Description: {DESCRIPTION}
Version: {VERSION}
Libs: -L${{libdir}} -lmeshage
Cflags: -I${{includedir}}
Libs.private: {system}
",
        prefix = paths.prefix.display(),
        libdir = below_prefix(&paths.libdir, &paths.prefix),
    )
}

/// A folder relative to the prefix, so that only the prefix contains the location of the copy.
fn below_prefix(folder: &Path, prefix: &Path) -> String {
    match folder.strip_prefix(prefix) {
        Ok(below) => format!("${{prefix}}/{}", below.display()),
        Err(_) => folder.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    #[test]
    fn folders_below_the_prefix_are_written_relative_to_it() {
        let mut paths = InstallPaths::below("/opt/mesh");
        assert!(text(&paths, "-lc").contains("\nlibdir=${prefix}/lib\n"));
        paths.libdir = "/elsewhere".into();
        assert!(text(&paths, "-lc").contains("\nlibdir=/elsewhere\n"));
        assert!(text(&paths, "-lm -lc").ends_with("Libs.private: -lm -lc\n"));
    }

    #[test]
    fn cargo_c_has_the_same_description() {
        let manifest = shell::root().join("meshage-ffi/Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("the manifest");
        assert!(manifest.contains(&format!("description = \"{DESCRIPTION}\"\n")));
    }
}
