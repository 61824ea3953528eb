//! The native half of the Python module.
