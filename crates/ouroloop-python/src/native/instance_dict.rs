//! Instance dictionaries of native classes, so that a program can put attributes on a task.
//!
//! The pointer to the dictionary lies behind everything that PyO3 knows of an object. It cannot be
//! a field of the Rust value: before Python 3.13, `object.__new__` makes the dictionary of a new
//! object at once, and PyO3, which writes the Rust value after that, would write over it.
//!
//! PyO3 does not know the dictionary, so the class has to visit, clear and drop it by these
//! functions. A class derived in Rust has its own place, behind its own value.

use std::sync::OnceLock;

use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::PyDict;
use pyo3::{PyClass, pyclass::boolean_struct::True};

use crate::interpreter::fresh::Text;
use crate::native::slots::{self, Deallocate};

/// Gives the instances of `T` a dictionary; to be called before any of them exists.
pub(crate) fn install<T: PyTypeInfo>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    let size = size_of::<*mut ffi::PyObject>();
    // SAFETY: attached; the class was just made and has neither instances nor subclasses. The
    // place is aligned as the structure before it is, which begins with pointers.
    unsafe {
        (*class).tp_dictoffset = (*class).tp_basicsize;
        (*class).tp_basicsize += ffi::Py_ssize_t::try_from(size).unwrap_or(0);
        ffi::PyType_Modified(class);
    }
}

/// Gives a class with an instance dictionary, and nothing else to say, the deallocation that drops it.
macro_rules! drops_its_dictionary {
    ($class:ty) => {
        impl $crate::native::slots::Deallocate for $class {
            keeps_original!();

            unsafe fn strip(slf: &pyo3::Bound<'_, Self>) {
                // SAFETY: the class's `install` has given it a dictionary.
                unsafe { $crate::native::instance_dict::strip(slf) };
            }
        }
    };
}

/// Makes a class of this crate complete whose objects have a dictionary.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn complete<T: Deallocate>(py: Python<'_>) -> PyResult<()> {
    install::<T>(py);
    slots::install_deallocate::<T>(py);
    // Messages of the interpreter show the C name, which has the module in it until a name is set.
    let class = py.get_type::<T>();
    class.setattr(Text("__name__"), class.name()?)
}

/// Where an object's dictionary is; NULL until something needs one.
///
/// # Safety
/// `object` must be an instance of a class with a dictionary of ours, or derived from one.
unsafe fn place(object: *mut ffi::PyObject) -> *mut Option<Py<PyDict>> {
    // SAFETY: the offset lies inside the object by `install`, and a nullable pointer to an object
    // is what an `Option<Py<PyDict>>` is made of.
    unsafe { object.byte_offset((*ffi::Py_TYPE(object)).tp_dictoffset).cast() }
}

/// The object's `__dict__`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn get<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; the object is alive and its class has a dictionary.
    unsafe {
        let dict = ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(object.py(), dict)
    }
}

/// The object's dictionary, if it has one.
///
/// # Safety
/// As for [`place`].
pub(crate) unsafe fn peek<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    // SAFETY: the caller's promise; the token proves that the thread is attached.
    unsafe { (*place(object.as_ptr())).as_ref().map(|dict| dict.bind(object.py()).clone()) }
}

/// How many attributes are in the object's dictionary.
///
/// # Safety
/// As for [`place`], attached.
#[inline]
pub(crate) unsafe fn len(object: *mut ffi::PyObject) -> usize {
    // SAFETY: the caller's promise; the size of a dictionary is a field of it.
    unsafe {
        let size = (*place(object)).as_ref().map_or(0, |dict| ffi::PyDict_Size(dict.as_ptr()));
        usize::try_from(size).unwrap_or(0)
    }
}

/// Whether nothing was put into the object's dictionary.
///
/// # Safety
/// As for [`place`], attached.
#[inline]
pub(crate) unsafe fn is_empty(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe { len(object) == 0 }
}

/// Drops the empty dictionary that `object.__new__` has made before Python 3.13: the interpreter
/// finds methods faster on an object that has none.
pub(crate) fn drop_unused(object: &Bound<'_, PyAny>) {
    // SAFETY: attached; the object is alive and its class has a dictionary of ours, which nobody
    // else refers to if its count is one.
    let unused = cfg!(not(Py_3_13))
        && unsafe {
            is_empty(object.as_ptr())
                && (*place(object.as_ptr()))
                    .as_ref()
                    .is_some_and(|dict| ffi::Py_REFCNT(dict.as_ptr()) == 1)
        };
    if unused {
        // SAFETY: as above.
        drop(unsafe { take(object.as_ptr()) });
    }
}

/// Takes the object's dictionary, if it has one.
///
/// # Safety
/// As for [`place`].
pub(crate) unsafe fn take(object: *mut ffi::PyObject) -> Option<Py<PyDict>> {
    // SAFETY: the caller's promise; attached threads do not run at the same time.
    unsafe { (*place(object)).take() }
}

/// Drops the object's dictionary, if it has one, at once: from `tp_dealloc`, a plain drop would be put off.
///
/// # Safety
/// As for [`place`].
#[inline]
pub(crate) unsafe fn strip<T>(object: &Bound<'_, T>) {
    // SAFETY: the caller's promise; the token of `object` proves that the thread is attached.
    if let Some(dict) = unsafe { take(object.as_ptr()) } {
        dict.drop_ref(object.py());
    }
}

/// Shows the garbage collector the object's dictionary.
///
/// # Safety
/// As for [`place`]; to be called from `tp_traverse` alone.
pub(crate) unsafe fn visit(
    object: *mut ffi::PyObject,
    visit: PyVisit<'_>,
) -> Result<(), PyTraverseError> {
    // SAFETY: the caller's promise; nothing changes the place during a traversal.
    visit.call(unsafe { &*place(object) })
}

/// How far behind the beginning of an object of class `T` its Rust value lies, which is learnt
/// from the first of them.
///
/// A traversal is given the value alone. One that comes before anything was learnt meets only the
/// first object, which is being made and has no attributes.
#[derive(Debug)]
pub(crate) struct ValueOffset(OnceLock<usize>);

impl ValueOffset {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Learns from an object of a class that has no dictionary itself, or none yet.
    pub(crate) fn measure<T: PyClass<Frozen = True> + Sync>(&self, object: &Bound<'_, T>) {
        let (start, value) = (object.as_ptr().addr(), std::ptr::from_ref(object.get()).addr());
        self.0.get_or_init(|| value - start);
    }

    /// Learns from a new object, whose unused dictionary is dropped.
    pub(crate) fn learn<T: PyClass<Frozen = True> + Sync>(&self, object: &Bound<'_, T>) {
        self.measure(object);
        drop_unused(object.as_any());
    }

    /// Learns from an example: a class that Python code can make objects of may have some with attributes
    /// before any is initialised.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn learn_from<T: PyClass<Frozen = True> + Sync>(
        &self,
        py: Python<'_>,
        example: impl Into<PyClassInitializer<T>>,
    ) -> PyResult<()> {
        self.learn(&Bound::new(py, example)?);
        Ok(())
    }

    /// Shows the garbage collector the dictionary of the object of which this is the value.
    ///
    /// # Safety
    /// As for [`visit`], and `value` must be that of an object.
    pub(crate) unsafe fn visit<T>(
        &self,
        value: &T,
        visitor: PyVisit<'_>,
    ) -> Result<(), PyTraverseError> {
        match self.object_of(value) {
            // SAFETY: the caller's promise.
            Some(object) => unsafe { visit(object, visitor) },
            None => Ok(()),
        }
    }

    /// Takes the dictionary of the object of which this is the value.
    ///
    /// # Safety
    /// As for [`take`], and `value` must be that of an object.
    pub(crate) unsafe fn take<T>(&self, value: &T) -> Option<Py<PyDict>> {
        // SAFETY: the caller's promise.
        self.object_of(value).and_then(|object| unsafe { take(object) })
    }

    fn object_of<T>(&self, value: &T) -> Option<*mut ffi::PyObject> {
        let offset = *self.0.get()?;
        let object = std::ptr::from_ref(value).wrapping_byte_sub(offset);
        Some(object.cast::<ffi::PyObject>().cast_mut())
    }
}
