//! Methods that take their arguments where the interpreter has them.
//!
//! PyO3 makes a tuple of `*args` and goes through a description of the signature at each call. For
//! the few methods that programs call all the time this module puts a plain `METH_FASTCALL`
//! function in their place: [`install_method`] replaces the descriptor in the class.

use std::any::Any;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::PyClass;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyString, PyTuple};

/// The arguments of one call, borrowed from the caller.
pub(crate) struct Arguments<'a, 'py> {
    positional: &'a [*mut ffi::PyObject],
    names: *mut ffi::PyObject,
    values: &'a [*mut ffi::PyObject],
    py: Python<'py>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// How many arguments have no name.
    pub(crate) fn len(&self) -> usize {
        self.positional.len()
    }

    /// The positional argument at `place`.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<Borrowed<'a, 'py, PyAny>> {
        // SAFETY: the caller's arguments are alive during the call.
        self.positional.get(place).map(|object| unsafe { Borrowed::from_ptr(self.py, *object) })
    }

    /// The positional arguments from `place` on, as a tuple.
    #[inline]
    pub(crate) fn rest(&self, place: usize) -> PyResult<Bound<'py, PyTuple>> {
        let rest = self.positional.get(place..).unwrap_or(&[]);
        if rest.is_empty() {
            return Ok(PyTuple::empty(self.py));
        }
        let length = ffi::Py_ssize_t::try_from(rest.len()).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: attached; the new tuple has room for as many references, all of live objects.
        unsafe {
            let tuple = Bound::from_owned_ptr_or_err(self.py, ffi::PyTuple_New(length))?
                .cast_into_unchecked();
            for (place, object) in (0..length).zip(rest) {
                ffi::PyTuple_SET_ITEM(Bound::as_ptr(&tuple), place, ffi::Py_NewRef(*object));
            }
            Ok(tuple)
        }
    }

    /// The arguments that have names.
    pub(crate) fn keywords(
        &self,
    ) -> impl Iterator<Item = (Borrowed<'a, 'py, PyString>, Borrowed<'a, 'py, PyAny>)> {
        let (py, names) = (self.py, self.names);
        (0..).zip(self.values).map(move |(place, value)| {
            // SAFETY: `names` is a tuple of as many strings as there are values; both are alive
            // during the call.
            unsafe {
                let name = Borrowed::from_ptr(py, ffi::PyTuple_GET_ITEM(names, place));
                (name.cast_unchecked(), Borrowed::from_ptr(py, *value))
            }
        })
    }
}

/// One such method.
pub(crate) trait Method {
    /// The class that has it.
    type Class: PyClass<Frozen = True> + Sync;
    /// Its name.
    const NAME: &'static CStr;
    /// Its documentation, the text signature first.
    const DOC: &'static CStr;

    /// Carries it out.
    ///
    /// # Errors
    /// What the method raises.
    fn call<'py>(
        slf: &Bound<'py, Self::Class>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

/// The error for a keyword that a method does not know.
#[cold]
pub(crate) fn unexpected_keyword(method: &str, name: &Bound<'_, PyString>) -> PyErr {
    PyTypeError::new_err(format!("{method}() got an unexpected keyword argument '{name}'"))
}

unsafe extern "C" fn trampoline<M: Method>(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let body = |py: Python<'_>| {
        // SAFETY: the descriptor has checked that `object` is an instance of the class; the
        // vectorcall protocol gives `count` objects and one more for each name.
        let (object, arguments) = unsafe {
            let naming = if names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(names) };
            let (count, naming) =
                (usize::try_from(count).unwrap_or(0), usize::try_from(naming).unwrap_or(0));
            let all = if arguments.is_null() {
                &[][..]
            } else {
                std::slice::from_raw_parts(arguments, count + naming)
            };
            let (positional, values) = all.split_at(count);
            (
                Borrowed::from_ptr(py, object).cast_unchecked::<M::Class>(),
                Arguments { positional, names, values, py },
            )
        };
        match catch_unwind(AssertUnwindSafe(|| M::call(&object, &arguments))) {
            Ok(Ok(answer)) => answer.into_ptr(),
            Ok(Err(error)) => {
                error.restore(py);
                ptr::null_mut()
            }
            Err(panic) => {
                panicked(&*panic).restore(py);
                ptr::null_mut()
            }
        }
    };
    // SAFETY: methods are called attached; this tells PyO3, which otherwise would put off drops.
    unsafe { Python::attach_unchecked(body) }
}

/// The error by which Python learns of a panic.
#[cold]
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    PyRuntimeError::new_err(format!("a bug in ouroloop: panic: {text}"))
}

/// Puts a method into its class.
///
/// # Errors
/// Those of making the descriptor.
pub(crate) fn install_method<M: Method>(py: Python<'_>) -> PyResult<()> {
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: M::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: trampoline::<M> },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: M::DOC.as_ptr(),
    }));
    let class = py.get_type::<M::Class>();
    // SAFETY: attached; the definition lives for ever, and `trampoline` has the signature that its
    // flags promise.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(py, descriptor)?
    };
    class.setattr(M::NAME.to_string_lossy().as_ref(), descriptor)
}
