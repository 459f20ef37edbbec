//! What a class derived from one of ours, or an attribute of an object, puts in the place of methods.
//!
//! What the class says takes a few dozen lookups, so the answer is kept in the object with what it was
//! found for: the version of the class, which changes with every change to the class and its bases. An
//! object's own attributes change without a trace and are looked through each time; most have none.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::{PyDict, PyFrozenSet, PyString, PyType};

use crate::interpreter::fresh;
use crate::interpreter::once::Once as _;
use crate::native::instance_dict;

/// Attributes of a class of ours.
pub(crate) struct Attributes {
    originals: Vec<(Py<PyString>, Py<PyAny>)>,
    names: Py<PyFrozenSet>,
}

impl Attributes {
    /// The attributes of `class` that are called `names`.
    ///
    /// # Errors
    /// `AttributeError` for a name that the class does not have.
    pub(crate) fn of(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<Self> {
        let py = class.py();
        let original = |name: &&str| {
            let name = fresh::interned(py, name)?;
            Ok((name.clone().unbind(), class.getattr(name)?.unbind()))
        };
        let originals = names.iter().map(original).collect::<PyResult<Vec<_>>>()?;
        let names = PyFrozenSet::new(py, originals.iter().map(|(name, _)| name))?.unbind();
        Ok(Self { originals, names })
    }

    /// Whether the class of `object` has just these.
    ///
    /// # Errors
    /// Those of a metaclass that is asked.
    pub(crate) fn are_those_of(&self, class: &Bound<'_, PyType>) -> PyResult<bool> {
        for (name, original) in &self.originals {
            if !class.getattr(name.bind(class.py()))?.is(original) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an object of a class with a dictionary of ours has none of its own in their place. One
    /// that cannot be asked has.
    #[inline]
    pub(crate) fn are_not_shadowed(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: attached; the callers' objects have a dictionary of ours.
        let none = unsafe { instance_dict::is_empty(object.as_ptr()) };
        none || self.are_not_in_that_of(object)
    }

    #[cold]
    fn are_not_in_that_of(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: as above.
        let own = unsafe { instance_dict::peek(object) };
        own.is_none_or(|own| self.are_not_in(&own).unwrap_or(false))
    }

    /// Whether none of the names is a key.
    pub(crate) fn are_not_in(&self, own: &Bound<'_, PyDict>) -> PyResult<bool> {
        let py = own.py();
        if own.len() > self.originals.len() {
            for (name, _) in &self.originals {
                if own.contains(name)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let (mut place, mut key) = (0, std::ptr::null_mut());
        // SAFETY: attached; nothing changes the dictionary meanwhile, because a key that is exactly a
        // string is looked up without running Python code, and any other ends the search.
        unsafe {
            while ffi::PyDict_Next(own.as_ptr(), &raw mut place, &raw mut key, std::ptr::null_mut())
                != 0
            {
                if ffi::PyUnicode_CheckExact(key) == 0 {
                    return Ok(false);
                }
                match ffi::PySet_Contains(self.names.as_ptr(), key) {
                    0 => {}
                    1 => return Ok(false),
                    _ => return Err(PyErr::fetch(py)),
                }
            }
        }
        Ok(true)
    }
}

/// Whether `object`, of class `T` or one derived from it, has `T`'s own methods of these names, and the
/// verdict about its class to be kept. A metaclass that refuses to say counts as other methods.
pub(crate) fn judge<T: PyTypeInfo>(
    object: &Bound<'_, T>,
    names: &[&str],
    kept: &PyOnceLock<Attributes>,
) -> (bool, Option<Verdict<bool>>) {
    let py = object.py();
    let Ok(attributes) = kept.find(py, || Attributes::of(&py.get_type::<T>(), names)) else {
        return (false, None);
    };
    let class = object.as_any().get_type();
    let plain = attributes.are_those_of(&class).unwrap_or(false);
    // The lookups have given the class a version.
    let verdict = Verdict::new(&class, plain);
    (plain && attributes.are_not_shadowed(object.as_any()), verdict)
}

/// An answer about a class, and what it was found for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<T> {
    class_version: NonZeroU32,
    answer: T,
}

impl<T: Copy> Verdict<T> {
    /// An answer that was just found for a class; `None` if it has no version, as there are no more.
    pub(crate) fn new(class: &Bound<'_, PyType>, answer: T) -> Option<Self> {
        // SAFETY: attached; the class is alive.
        let version = unsafe { (*class.as_type_ptr()).tp_version_tag };
        NonZeroU32::new(version).map(|class_version| Self { class_version, answer })
    }

    /// The answer, if the object's class has not changed since.
    #[inline]
    pub(crate) fn recall(known: Option<Self>, object: &Bound<'_, PyAny>) -> Option<T> {
        // SAFETY: attached; the object is alive.
        let version = unsafe { (*object.get_type_ptr()).tp_version_tag };
        known.filter(|known| known.class_version.get() == version).map(|known| known.answer)
    }
}

/// Whether a class of ours itself has the methods with which it was made: a program may patch those.
pub(crate) struct Untouched {
    names: &'static [&'static str],
    originals: PyOnceLock<Attributes>,
    /// The version of the class that was looked at last, and behind it whether it had them.
    known: AtomicU64,
}

impl Untouched {
    pub(crate) const fn new(names: &'static [&'static str]) -> Self {
        Self { names, originals: PyOnceLock::new(), known: AtomicU64::new(0) }
    }

    /// Remembers the methods, before any program can have patched them.
    ///
    /// # Errors
    /// `AttributeError` for a name that the class does not have.
    pub(crate) fn remember(&self, class: &Bound<'_, PyType>) -> PyResult<()> {
        self.originals.find(class.py(), || Attributes::of(class, self.names)).map(drop)
    }

    /// Whether they are there still, in the class of `object`, which is the very one.
    #[inline]
    pub(crate) fn is(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: attached; the object is alive.
        let version = unsafe { (*object.get_type_ptr()).tp_version_tag };
        let known = self.known.load(Ordering::Relaxed);
        if version != 0 && known >> 1 == u64::from(version) {
            return known & 1 == 1;
        }
        self.look(&object.get_type())
    }

    #[cold]
    fn look(&self, class: &Bound<'_, PyType>) -> bool {
        let originals = self.originals.get(class.py());
        let same = originals.is_some_and(|them| them.are_those_of(class).unwrap_or(false));
        // The lookups have given the class a version.
        if let Some(Verdict { class_version, answer }) = Verdict::new(class, same) {
            let known = u64::from(class_version.get()) << 1 | u64::from(answer);
            self.known.store(known, Ordering::Relaxed);
        }
        same
    }
}
