//! Methods that take their arguments where the interpreter has them.
//!
//! PyO3 makes a tuple of `*args` and goes through a description of the signature at each call. For
//! the few methods that programs call all the time this module puts a plain `METH_FASTCALL`
//! function in their place: [`install_method`] replaces the descriptor in the class.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::PyClass;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::errors::containment::panicked;
use crate::interpreter::fresh;

/// The arguments of one call, borrowed from the caller.
pub(crate) struct Arguments<'a, 'py> {
    positional: &'a [*mut ffi::PyObject],
    names: *mut ffi::PyObject,
    values: &'a [*mut ffi::PyObject],
    py: Python<'py>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// # Safety
    /// They are as the vectorcall protocol has them, and stay during `'a`: `count` objects and one more for
    /// each of `names`.
    pub(crate) unsafe fn new(
        py: Python<'py>,
        arguments: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let naming = if names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(names) };
            let (count, naming) =
                (usize::try_from(count).unwrap_or(0), usize::try_from(naming).unwrap_or(0));
            let all = if arguments.is_null() {
                &[][..]
            } else {
                std::slice::from_raw_parts(arguments, count + naming)
            };
            let (positional, values) = all.split_at(count);
            Self { positional, names, values, py }
        }
    }

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

    /// The first `N` arguments, if there are as many and none has a name.
    #[inline]
    pub(crate) fn only_positional<const N: usize>(&self) -> Option<[Borrowed<'a, 'py, PyAny>; N]> {
        if !self.values.is_empty() {
            return None;
        }
        let first: &[_; N] = self.positional.get(..N)?.try_into().ok()?;
        // SAFETY: the caller's arguments are alive during the call.
        Some(first.map(|object| unsafe { Borrowed::from_ptr(self.py, object) }))
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

    /// The value of the argument called `name`, if no other has a name.
    #[inline]
    pub(crate) fn only_keyword(&self, name: &str) -> Option<Borrowed<'a, 'py, PyAny>> {
        let (given, value) = self.keywords().next().filter(|_| self.values.len() == 1)?;
        given.to_str().is_ok_and(|given| given == name).then_some(value)
    }

    /// The arguments that have names, if there are any.
    pub(crate) fn keyword_dict(&self) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let keywords = fresh::dict(self.py)?;
        for (name, value) in self.keywords() {
            keywords.set_item(name, value)?;
        }
        Ok(Some(keywords))
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

/// The name of a method, and its documentation with the text signature first.
pub(crate) struct Described {
    pub(crate) name: &'static CStr,
    pub(crate) doc: &'static CStr,
}

/// A method with arguments of any kind.
pub(crate) trait Method {
    /// The class that has it.
    type Class: PyClass<Frozen = True> + Sync;
    const DESCRIBED: Described;

    /// Carries it out.
    ///
    /// # Errors
    /// What the method raises.
    fn call<'py>(
        slf: &Bound<'py, Self::Class>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

/// A method without arguments.
pub(crate) trait Nullary {
    /// The class that has it.
    type Class: PyClass<Frozen = True> + Sync;
    const DESCRIBED: Described;

    /// Carries it out.
    ///
    /// # Errors
    /// What the method raises.
    fn call<'py>(slf: &Bound<'py, Self::Class>) -> PyResult<Bound<'py, PyAny>>;
}

/// A method with one argument, which has no name.
pub(crate) trait Unary {
    /// The class that has it.
    type Class: PyClass<Frozen = True> + Sync;
    const DESCRIBED: Described;

    /// Carries it out.
    ///
    /// # Errors
    /// What the method raises.
    fn call<'py>(
        slf: &Bound<'py, Self::Class>,
        argument: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

/// The error for a keyword that a method does not know.
#[cold]
pub(crate) fn unexpected_keyword(method: &str, name: &Bound<'_, PyString>) -> PyErr {
    fresh::error_saying::<PyTypeError>(format_args!(
        "{method}() got an unexpected keyword argument '{name}'"
    ))
}

/// The argument of a method that has just one, called `name`; none if it was left out.
///
/// # Errors
/// `TypeError` for any other argument.
#[inline]
pub(crate) fn only_argument<'a, 'py>(
    method: &str,
    name: &str,
    arguments: &Arguments<'a, 'py>,
) -> PyResult<Option<Borrowed<'a, 'py, PyAny>>> {
    let mut argument = arguments.get(0);
    if arguments.len() == 1 && arguments.values.is_empty() {
        return Ok(argument);
    }
    if arguments.len() > 1 {
        return Err(fresh::error_saying::<PyTypeError>(format_args!(
            "{method}() takes 2 positional arguments but {} were given",
            arguments.len() + 1
        )));
    }
    for (keyword, value) in arguments.keywords() {
        if keyword.to_str()? != name {
            return Err(unexpected_keyword(method, &keyword));
        }
        if argument.replace(value).is_some() {
            let message =
                fresh::text(format_args!("{method}() got multiple values for argument '{name}'"))?;
            return Err(fresh::error::<PyTypeError>(message));
        }
    }
    Ok(argument)
}

/// As [`only_argument`], of a method that needs it.
///
/// # Errors
/// `TypeError` for any other arguments, or none.
#[inline]
pub(crate) fn needed_argument<'a, 'py>(
    method: &str,
    name: &str,
    arguments: &Arguments<'a, 'py>,
) -> PyResult<Borrowed<'a, 'py, PyAny>> {
    only_argument(method, name, arguments)?.ok_or_else(|| {
        let message = format!("{method}() missing 1 required positional argument: '{name}'");
        fresh::error::<PyTypeError>(message)
    })
}

/// Runs the body of a method or a constructor; what it raises, or a panic, becomes the interpreter's pending error.
#[inline]
pub(crate) fn run<'py>(
    py: Python<'py>,
    body: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> *mut ffi::PyObject {
    // Not by `contained_result`: to move the answer from one result into another costs each call.
    match catch_unwind(AssertUnwindSafe(body)) {
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
}

unsafe extern "C" fn any_arguments<M: Method>(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: methods are called attached. The descriptor has checked that `object` is an instance
    // of the class; by the vectorcall protocol there are `count` objects and one more for each
    // name.
    unsafe {
        let py = Python::assume_attached();
        let arguments = Arguments::new(py, arguments, count, names);
        let object = Borrowed::from_ptr(py, object).cast_unchecked::<M::Class>();
        run(py, || M::call(&object, &arguments))
    }
}

unsafe extern "C" fn no_argument<M: Nullary>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any_arguments`.
    unsafe {
        let py = Python::assume_attached();
        let object = Borrowed::from_ptr(py, object).cast_unchecked::<M::Class>();
        run(py, || M::call(&object))
    }
}

unsafe extern "C" fn one_argument<M: Unary>(
    object: *mut ffi::PyObject,
    argument: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any_arguments`; the argument is alive during the call.
    unsafe {
        let py = Python::assume_attached();
        let object = Borrowed::from_ptr(py, object).cast_unchecked::<M::Class>();
        run(py, || M::call(&object, &Borrowed::from_ptr(py, argument)))
    }
}

/// The address of the C function that a bound method calls; zero for any other callable.
pub(crate) fn function_of(method: &Bound<'_, PyAny>) -> usize {
    // SAFETY: attached; the object is checked to be a C function.
    unsafe {
        if ffi::PyCFunction_CheckExact(method.as_ptr()) == 0 {
            return 0;
        }
        ffi::PyCFunction_GetFunction(method.as_ptr()).map_or(0, |function| function as usize)
    }
}

/// Puts a method into its class.
///
/// # Errors
/// Those of making the descriptor.
pub(crate) fn install_method<M: Method>(py: Python<'_>) -> PyResult<()> {
    let function = ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: any_arguments::<M> };
    install::<M::Class>(py, &M::DESCRIBED, function, ffi::METH_FASTCALL | ffi::METH_KEYWORDS)
}

/// [`install_method`] for a method without arguments.
///
/// # Errors
/// Those of making the descriptor.
pub(crate) fn install_nullary<M: Nullary>(py: Python<'_>) -> PyResult<()> {
    let function = ffi::PyMethodDefPointer { PyCFunction: no_argument::<M> };
    install::<M::Class>(py, &M::DESCRIBED, function, ffi::METH_NOARGS)
}

/// [`install_method`] for a method with one argument.
///
/// # Errors
/// Those of making the descriptor.
pub(crate) fn install_unary<M: Unary>(py: Python<'_>) -> PyResult<()> {
    let function = ffi::PyMethodDefPointer { PyCFunction: one_argument::<M> };
    install::<M::Class>(py, &M::DESCRIBED, function, ffi::METH_O)
}

fn install<T: PyClass>(
    py: Python<'_>,
    described: &Described,
    function: ffi::PyMethodDefPointer,
    flags: std::ffi::c_int,
) -> PyResult<()> {
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: described.name.as_ptr(),
        ml_meth: function,
        ml_flags: flags,
        ml_doc: described.doc.as_ptr(),
    }));
    let class = py.get_type::<T>();
    // SAFETY: attached; the definition lives for ever, and the callers give each function with the
    // flags that promise its signature.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(py, descriptor)?
    };
    class.setattr(described.name.to_string_lossy().as_ref(), descriptor)
}
