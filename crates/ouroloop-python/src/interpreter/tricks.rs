//! The switch that turns off whatever leans on more than the interpreter promises.
//!
//! Such a trick lends or keeps an object that nobody owns, or knows where the interpreter has something
//! that it has no name for. Each is proved where it lives; docs/safety.md lists them. With the environment variable
//! `OUROLOOP_SAFE=1` none is used: everything goes by the public functions, slower, and to be tried first
//! by who suspects one of them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

const VARIABLE: &str = "OUROLOOP_SAFE";

static OFF: AtomicBool = AtomicBool::new(false);

/// Reads the environment, once, before the first object is made: what was made by a trick may need it
/// as long as it lives.
pub(crate) fn choose() {
    static CHOSEN: OnceLock<()> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let asked =
            std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty() && value != "0");
        OFF.store(asked, Ordering::Relaxed);
    });
}

/// Whether every trick is off.
#[inline]
pub(crate) fn are_off() -> bool {
    OFF.load(Ordering::Relaxed)
}
