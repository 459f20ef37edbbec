//! What native code needs sooner or later, made when the module is imported: the names by which it asks
//! objects for things, and the classes that only it makes objects of.
//!
//! PyO3 makes either the first time that a line runs, and panics where there is no memory for it. Here each is
//! in a list of all of its kind, which the module's start goes through.

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
        pyo3::inventory::submit! { crate::interpreter::names::Name(&NAME) }
        NAME.get($py)
    }};
}

/// A class that no name in the module leads to.
pub(crate) struct Hidden(pub(crate) fn(Python<'_>));

inventory::collect!(Hidden);

/// Has a class of this module made at the start.
macro_rules! made_at_the_start {
    ($class:ty) => {
        pyo3::inventory::submit! {
            crate::interpreter::names::Hidden(|py| drop(py.get_type::<$class>()))
        }
    };
}

/// Makes the names.
pub(crate) fn make(py: Python<'_>) {
    for Name(name) in inventory::iter::<Name> {
        name.get(py);
    }
}

/// Makes the classes; those that they derive from are complete.
pub(crate) fn make_classes(py: Python<'_>) {
    for Hidden(make) in inventory::iter::<Hidden> {
        make(py);
    }
}
