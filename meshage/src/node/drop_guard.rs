//! A guard that runs a function when it is dropped.

/// Runs `on_drop` when it is dropped, unless it was disarmed.
pub(super) struct DropGuard<F: FnMut()> {
    on_drop: F,
    armed: bool,
}

impl<F: FnMut()> DropGuard<F> {
    pub(super) fn new(on_drop: F) -> Self {
        Self { on_drop, armed: true }
    }

    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl<F: FnMut()> Drop for DropGuard<F> {
    fn drop(&mut self) {
        if self.armed {
            (self.on_drop)();
        }
    }
}
