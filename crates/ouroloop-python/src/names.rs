//! The names by which native code asks objects for things, made when the module is imported.
//!
//! PyO3's `intern!` makes a name the first time that a line runs, and panics where there is no memory for it.
//! This one is in a list of all of them, which the module's start goes through.

use pyo3::inventory;
use pyo3::prelude::*;
use pyo3::sync::Interned;

/// One name of one place in the code.
pub(crate) struct Name(pub(crate) &'static Interned);

inventory::collect!(Name);

/// A name as a `str`, interned.
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static NAME: pyo3::sync::Interned = pyo3::sync::Interned::new($text);
        pyo3::inventory::submit! { crate::names::Name(&NAME) }
        NAME.get($py)
    }};
}

/// Makes them all.
pub(crate) fn make(py: Python<'_>) {
    for Name(name) in inventory::iter::<Name> {
        name.get(py);
    }
}
