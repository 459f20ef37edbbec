//! The ways that a call takes: to the native code, or to the stand-in.
//!
//! The call of a coroutine function makes an object and runs nobody else's code, so it goes straight to the C function
//! of the descriptor, which would only look whether native code has come round again. Calls that do not fit,
//! and those of other functions, go to the descriptor.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::object::{Function, Way};

/// # Safety
/// To be called attached, with a live object.
#[inline]
unsafe fn is_instance(object: *mut ffi::PyObject, class: &Py<PyType>) -> bool {
    let class = class.as_ptr().cast();
    // SAFETY: the caller's promise.
    unsafe {
        ffi::Py_TYPE(object) == class || ffi::PyType_IsSubtype(ffi::Py_TYPE(object), class) != 0
    }
}

/// A [`Function`]'s vectorcall at first.
pub(super) unsafe extern "C" fn call_native(
    function: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called attached, with a `Function`, which the caller keeps alive during the call and which never
    // lets go of what it calls. The arguments are as the vectorcall protocol has them: what is called wants
    // them so, or a first one apart, of the class that is looked for, and the others where they are.
    unsafe {
        let py = Python::assume_attached();
        let function = Borrowed::from_ptr(py, function).cast_unchecked::<Function>().get();
        let given = ffi::PyVectorcall_NARGS(count);
        match &function.way {
            Way::Nullary { class, code }
                if given == 1 && names.is_null() && is_instance(*arguments, class) =>
            {
                code(*arguments, std::ptr::null_mut())
            }
            Way::Method { class, code } if given > 0 && is_instance(*arguments, class) => {
                code(*arguments, arguments.add(1), given - 1, names)
            }
            Way::Function { first, code } => code(first.as_ptr(), arguments, given, names),
            _ => (function.native_call)(function.native.as_ptr(), arguments, count, names),
        }
    }
}

/// A [`Function`]'s vectorcall once its code or its defaults were set.
pub(super) unsafe extern "C" fn call_stand_in(
    function: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `call_native`; the stand-in was there before this function was put in the place of that
    // one, and stays.
    unsafe {
        let py = Python::assume_attached();
        let function = Borrowed::from_ptr(py, function).cast_unchecked::<Function>().get();
        let stand_in = function.stand_in.get().unwrap_or(&function.native);
        ffi::PyObject_Vectorcall(stand_in.as_ptr(), arguments, count, names)
    }
}
