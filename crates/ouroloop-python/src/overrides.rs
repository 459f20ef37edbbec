//! What a class derived from one of ours, or an attribute of an object, puts in the place of methods.
//!
//! To find out takes a few dozen lookups, so the answer is kept in the object with what it was found
//! for: the version of the class, which changes with every change to the class and its bases, and
//! the number of the object's attributes.

use std::num::NonZeroU32;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::{PyString, PyType};

use crate::instance_dict;

/// Attributes of a class of ours.
pub(crate) type Attributes = Vec<(Py<PyString>, Py<PyAny>)>;

/// The attributes of `class` that are called `names`.
///
/// # Errors
/// `AttributeError` for a name that the class does not have.
pub(crate) fn originals(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<Attributes> {
    let original = |name: &&str| {
        let name = PyString::intern(class.py(), name);
        Ok((name.clone().unbind(), class.getattr(name)?.unbind()))
    };
    names.iter().map(original).collect()
}

/// Whether an object of a class with a dictionary of ours has just these attributes, and none of its
/// own in their place.
///
/// # Errors
/// Those of a metaclass that is asked.
pub(crate) fn has_all(object: &Bound<'_, PyAny>, attributes: &Attributes) -> PyResult<bool> {
    let py = object.py();
    let class = object.get_type();
    // SAFETY: the caller's objects have a dictionary of ours.
    let own = unsafe { instance_dict::peek(object) };
    for (name, original) in attributes {
        if let Some(own) = &own
            && own.contains(name)?
        {
            return Ok(false);
        }
        if !class.getattr(name.bind(py))?.is(original) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether `object`, of class `T` or one derived from it, has `T`'s own methods of these names, and the
/// verdict to be kept. A metaclass that refuses to say counts as other methods.
pub(crate) fn judge<T: PyTypeInfo>(
    object: &Bound<'_, T>,
    names: &[&str],
    kept: &PyOnceLock<Attributes>,
) -> (bool, Option<Verdict<bool>>) {
    let py = object.py();
    let plain = kept
        .get_or_try_init(py, || originals(&py.get_type::<T>(), names))
        .and_then(|attributes| has_all(object.as_any(), attributes))
        .unwrap_or(false);
    (plain, Verdict::new(object.as_any(), plain))
}

/// An answer, and what it was found for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<T> {
    class_version: NonZeroU32,
    attributes: usize,
    answer: T,
}

impl<T: Copy> Verdict<T> {
    /// An answer that was just found for `object`, whose class has a dictionary of ours; `None` if its
    /// class has no version, as there are no more.
    pub(crate) fn new(object: &Bound<'_, PyAny>, answer: T) -> Option<Self> {
        let (version, attributes) = circumstances(object);
        NonZeroU32::new(version).map(|class_version| Self { class_version, attributes, answer })
    }

    /// The answer, if nothing has changed since.
    #[inline]
    pub(crate) fn recall(known: Option<Self>, object: &Bound<'_, PyAny>) -> Option<T> {
        let (version, attributes) = circumstances(object);
        known
            .filter(|known| known.class_version.get() == version && known.attributes == attributes)
            .map(|known| known.answer)
    }
}

/// What an answer depends on.
#[inline]
fn circumstances(object: &Bound<'_, PyAny>) -> (u32, usize) {
    // SAFETY: attached, and the callers' objects have a dictionary of ours; reads the version of the
    // object's class.
    unsafe { ((*object.get_type_ptr()).tp_version_tag, instance_dict::len(object.as_ptr())) }
}
