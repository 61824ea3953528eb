//! The C API of libmeshage.
