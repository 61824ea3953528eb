//! The error of every step: a sentence that says what failed and why.

/// The result of a step.
pub(crate) type Result<T> = std::result::Result<T, String>;
