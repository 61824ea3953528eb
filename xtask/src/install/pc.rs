//! `meshage.pc`: what pkg-config says of an installed copy. The same lines as cargo-c writes.

use std::path::Path;

use super::Places;
use super::plan::VERSION;

/// One line of what it is; cargo-c has it in meshage-ffi/Cargo.toml.
const DESCRIPTION: &str =
    "Mesh message passing: nodes find each other and pass acknowledged messages by name";

/// The file for an installation; `system` is what the static library needs besides.
pub(super) fn text(places: &Places, system: &str) -> String {
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
        prefix = places.prefix.display(),
        libdir = below_prefix(&places.libdir, &places.prefix),
    )
}

/// A folder from the prefix on, so that the prefix alone says where a copy lies.
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
    fn folders_follow_the_prefix_where_they_are_below_it() {
        let mut places = Places::below("/opt/mesh");
        assert!(text(&places, "-lc").contains("\nlibdir=${prefix}/lib\n"));
        places.libdir = "/elsewhere".into();
        assert!(text(&places, "-lc").contains("\nlibdir=/elsewhere\n"));
        assert!(text(&places, "-lm -lc").ends_with("Libs.private: -lm -lc\n"));
    }

    #[test]
    fn cargo_c_has_the_same_description() {
        let manifest = shell::root().join("meshage-ffi/Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("the manifest");
        assert!(manifest.contains(&format!("description = \"{DESCRIPTION}\"\n")));
    }
}
