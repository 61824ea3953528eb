//! Passes the folders of libsodium on to the library. Cargo gives them to build scripts only.

use std::env;

fn main() {
    for key in ["DEP_SODIUM_INCLUDE", "DEP_SODIUM_LIB"] {
        match env::var(key) {
            Ok(folder) => println!("cargo:rustc-env={key}={folder}"),
            Err(error) => panic!("{key}: {error}"),
        }
    }
}
