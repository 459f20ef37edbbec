//! Classes whose calls go past `__new__` and `__init__`.
//!
//! A call of a class makes a tuple and a dict, which both methods read. A class that programs call all the
//! time takes its arguments where the interpreter has them instead: [`install_constructor`] sets its
//! `tp_vectorcall`.

use std::ptr;

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::native::method::{Arguments, run};

/// A class that is called all the time.
pub(crate) trait Construct: PyClass {
    /// Makes an instance, or leaves it to `__new__` and `__init__`; of subclasses it is not asked.
    ///
    /// # Errors
    /// What the call raises.
    fn construct<'py>(arguments: &Arguments<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>>;
}

unsafe extern "C" fn construct<T: Construct>(
    class: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls this attached, with the class that has it (subclasses do not inherit
    // the slot), and arguments as for a method. `count` may have a flag.
    unsafe {
        let py = Python::assume_attached();
        let arguments = Arguments::new(py, arguments, ffi::PyVectorcall_NARGS(count), names);
        let by_parts = || {
            let positional = arguments.rest(0)?;
            let keywords = arguments.keyword_dict()?;
            let keywords = keywords.as_ref().map_or(ptr::null_mut(), Bound::as_ptr);
            let Some(call) = ffi::PyType_Type.tp_call else { return Err(PyErr::fetch(py)) };
            Bound::from_owned_ptr_or_err(py, call(class, positional.as_ptr(), keywords))
        };
        run(py, || T::construct(&arguments)?.map_or_else(by_parts, Ok))
    }
}

/// Has calls of a class go to its [`Construct`]; before Python sees the class.
pub(crate) fn install_constructor<T: Construct>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: attached; nobody has called the class, and the function fits the slot's contract.
    unsafe {
        (*class).tp_vectorcall = Some(construct::<T>);
        ffi::PyType_Modified(class);
    }
}
