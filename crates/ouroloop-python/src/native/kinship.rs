//! `isinstance(object, native class)` for objects of the standard class.
//!
//! Once `ouroloop.install()` has put a native class in the standard one's place, programs still
//! meet objects of the latter: a C task of another loop, a lock made before, a subclass written
//! before. `abc.ABCMeta` has a register for exactly this. A native class becomes one of its
//! instances, and a program's subclasses mix with other abstract classes as before.
//!
//! It costs native objects nothing: they are made without their metaclass, and `isinstance` of
//! an object whose type is the very class asks no metaclass either.

use pyo3::PyClass;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyType;

use crate::interpreter::fresh;
use crate::standard::Standard;

/// Counts objects of `standard` and of its subclasses among those of `native`, a class of this
/// module.
#[pyfunction]
pub(crate) fn adopt(native: &Bound<'_, PyType>, standard: &Bound<'_, PyType>) -> PyResult<()> {
    let py = native.py();
    let abstract_class = crate::interpreter::modules::module(py, intern!(py, "abc"))?
        .getattr(intern!(py, "ABCMeta"))?;
    if !native.get_type().is(&abstract_class) {
        give_metaclass(native, abstract_class.cast::<PyType>()?)?;
        crate::interpreter::modules::module(py, intern!(py, "_abc"))?
            .call_method1(intern!(py, "_abc_init"), (native,))?;
    }
    native.call_method1(intern!(py, "register"), (standard,)).map(drop)
}

/// Does what an assignment to `__class__` does for objects whose class is not built in.
fn give_metaclass(class: &Bound<'_, PyType>, metaclass: &Bound<'_, PyType>) -> PyResult<()> {
    // SAFETY: attached; type objects, all alive, whose flags and sizes are set for good.
    unsafe {
        let (class, metaclass) = (class.as_type_ptr(), metaclass.as_type_ptr());
        let plain = &raw mut ffi::PyType_Type;
        if ffi::Py_TYPE(class.cast()) != plain
            || ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_HEAPTYPE) == 0
            || (*metaclass).tp_basicsize != (*plain).tp_basicsize
            || (*metaclass).tp_itemsize != (*plain).tp_itemsize
        {
            return Err(fresh::error::<PyTypeError>(
                "only a plain class of this module can adopt another",
            ));
        }
        // A class of a class that was made at run time keeps it alive.
        ffi::Py_INCREF(metaclass.cast());
        (*class.cast::<ffi::PyObject>()).ob_type = metaclass;
    }
    Ok(())
}

/// What `__class__` answers: the standard class for exactly `T`, its own for a derived one.
pub(crate) fn class_of<'py, T: PyClass<Frozen = True>>(
    object: &Bound<'py, T>,
    standard: fn(&'static Standard) -> &'static Py<PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if object.as_any().is_exact_instance_of::<T>() {
        return Ok(standard(Standard::get(object.py())?).bind(object.py()).clone());
    }
    Ok(object.as_any().get_type().into_any())
}
