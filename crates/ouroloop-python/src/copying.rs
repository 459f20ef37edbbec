//! Copies and pickles of primitives, queues, readers and timeouts.
//!
//! asyncio's are Python objects: `copy` and `pickle` take apart their `__dict__` and put it together again. Ours
//! answer a state of the same names, and take one, so that a pickle of asyncio's is loaded as well. What waits cannot
//! be copied there, since a future cannot, and is refused here.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::fresh::{self, Text, pack};
use crate::recursion::Level;
use crate::standard::Standard;

/// Attributes with those who wait, of whom a copy has none.
const WAITERS: [&str; 3] = ["_waiters", "_getters", "_putters"];

/// Gives a class the methods by which its objects are copied: these attributes, which have setters, are the state.
macro_rules! is_copied_by {
    ($class:ty, $names:expr) => {
        #[pymethods]
        impl $class {
            fn __reduce_ex__<'py>(
                slf: &Bound<'py, Self>,
                protocol: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
                let _ = protocol;
                $crate::copying::reduce(slf.as_any())
            }

            fn __getstate__<'py>(
                slf: &Bound<'py, Self>,
            ) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
                $crate::copying::state(slf.as_any(), &$names)
            }

            fn __setstate__(
                slf: &Bound<'_, Self>,
                state: &Bound<'_, pyo3::types::PyDict>,
            ) -> PyResult<()> {
                $crate::copying::restore(slf.as_any(), &$names, state)
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

/// The attributes of these names, and those that a program has put on the object.
pub(crate) fn state<'py>(
    object: &Bound<'py, PyAny>,
    names: &[&str],
) -> PyResult<Bound<'py, PyDict>> {
    let py = object.py();
    let _level = Level::enter(py)?;
    let state = fresh::dict(py)?;
    for name in names {
        let value = object.getattr(Text(name))?;
        if WAITERS.contains(name) {
            if value.is_truthy()? {
                return Err(in_use("Future"));
            }
            state.set_item(Text(name), Standard::get(py)?.deque.bind(py).call0()?)?;
        } else if *name != "_loop" || !value.is_none() {
            state.set_item(Text(name), value)?;
        }
    }
    for (name, value) in own_attributes(object)? {
        state.set_item(name, value)?;
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
    let own = own_attributes(object)?;
    for (name, value) in state.copy()? {
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

fn own_attributes<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    Ok(object.getattr(intern!(object.py(), "__dict__"))?.cast_into()?)
}

/// The names of the slots of derived classes.
fn slots<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let copyreg = py.import(intern!(py, "copyreg"))?;
    copyreg.call_method1(intern!(py, "_slotnames"), (object.get_type(),))
}
