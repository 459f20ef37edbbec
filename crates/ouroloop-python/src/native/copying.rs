//! Copies and pickles of primitives, queues, readers and timeouts.
//!
//! asyncio's are Python objects: `copy` and `pickle` take apart their `__dict__` and put it together again. Ours
//! answer a state of the same names, and take one, so that a pickle of asyncio's is loaded as well. What waits cannot
//! be copied there, since a future cannot, and is refused here.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::interpreter::fresh::{self, Text, pack};
use crate::interpreter::recursion::Level;
use crate::native::instance_dict;
use crate::native::live_dict::{Native, WAITERS};

/// Tells of what a class's objects consist: attributes which have setters. Gives them the methods by which they are
/// copied, and a `__dict__` that shows all this.
macro_rules! consists_of {
    ($class:ty, $names:expr) => {
        impl $class {
            const NATIVE: $crate::native::live_dict::Native = $crate::native::live_dict::Native {
                names: &$names,
                restore: |object, state| $crate::native::copying::restore(object, &$names, state),
            };
        }

        #[pymethods]
        impl $class {
            #[getter(__dict__)]
            fn live_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                $crate::native::live_dict::LiveDict::of(slf.as_any(), Self::NATIVE)
            }

            #[setter(__dict__)]
            fn set_dict(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
                $crate::native::live_dict::LiveDict::replace(slf.as_any(), value, Self::NATIVE)
            }

            fn __reduce_ex__<'py>(
                slf: &Bound<'py, Self>,
                protocol: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
                let _ = protocol;
                $crate::native::copying::reduce(slf.as_any())
            }

            fn __getstate__<'py>(
                slf: &Bound<'py, Self>,
            ) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
                $crate::native::copying::state(slf.as_any(), &Self::NATIVE)
            }

            fn __setstate__(
                slf: &Bound<'_, Self>,
                state: &Bound<'_, pyo3::types::PyDict>,
            ) -> PyResult<()> {
                (Self::NATIVE.restore)(slf.as_any(), state)
            }
        }
    };
}

/// The error for what waits for something, or has a task.
pub(crate) fn in_use(what: &str) -> PyErr {
    fresh::error::<PyTypeError>(format!("cannot pickle '_asyncio.{what}' object"))
}

/// How to make the object again: its class without `__init__`, and the state.
///
/// Asyncio's way is `copyreg.__newobj__`, which wants the class that `__class__` answers: for classes of this module that is
/// asyncio's.
pub(crate) fn reduce<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let py = object.py();
    let _level = Level::enter(py)?;
    let class = object.get_type();
    let new = if object.getattr(intern!(py, "__class__"))?.is(&class) {
        py.import(intern!(py, "copyreg"))?.getattr(intern!(py, "__newobj__"))?
    } else {
        class.getattr(intern!(py, "__new__"))?
    };
    let state = object.call_method0(intern!(py, "__getstate__"))?;
    Ok(pack!(py, new, pack!(py, class), state))
}

/// The attributes of an object, as a copy of it shall have them.
pub(crate) fn state<'py>(
    object: &Bound<'py, PyAny>,
    native: &Native,
) -> PyResult<Bound<'py, PyDict>> {
    let state = native.all(object)?;
    for name in WAITERS {
        if state.get_item(Text(name))?.map_or(Ok(false), |waiters| waiters.is_truthy())? {
            return Err(in_use("Future"));
        }
    }
    for name in slots(object)?.try_iter()? {
        let name = name?.cast_into::<PyString>()?;
        if let Some(value) = object.getattr_opt(&name)? {
            state.set_item(name, value)?;
        }
    }
    Ok(state)
}

/// Sets these attributes, and puts the others on the object.
pub(crate) fn restore(
    object: &Bound<'_, PyAny>,
    names: &[&str],
    state: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let _level = Level::enter(object.py())?;
    let slots = slots(object)?;
    let own = instance_dict::get(object)?;
    for (name, value) in fresh::items(state)? {
        let text = name.cast::<PyString>()?;
        let known = names.contains(&&*text.to_string_lossy());
        if WAITERS.contains(&&*text.to_string_lossy()) {
            continue;
        }
        if known || slots.contains(&name)? {
            object.setattr(text, value)?;
        } else {
            own.set_item(name, value)?;
        }
    }
    Ok(())
}

/// The names of the slots of derived classes.
fn slots<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let copyreg = py.import(intern!(py, "copyreg"))?;
    copyreg.call_method1(intern!(py, "_slotnames"), (object.get_type(),))
}
