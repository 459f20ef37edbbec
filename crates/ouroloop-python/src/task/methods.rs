//! A task's step and wake-up as objects that any loop can call.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::object::Task;
use super::step;
use crate::errors::containment::contained_result;
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;

/// A callable that runs one step of a task, for loops that are not ours and for debug mode.
#[pyclass(frozen, module = "ouroloop", name = "TaskStepMethWrapper")]
#[derive(Debug)]
pub(crate) struct StepMethod {
    task: AttachedCell<Option<Py<Task>>>,
    error: AttachedCell<Option<Py<PyAny>>>,
}

made_at_the_start!(StepMethod);

impl StepMethod {
    pub(crate) fn new(task: Py<Task>, error: Option<Py<PyAny>>) -> Self {
        Self { task: AttachedCell::new(Some(task)), error: AttachedCell::new(error) }
    }
}

#[pymethods]
impl StepMethod {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return Err(fresh::error::<PyTypeError>("function takes no keyword arguments"));
        }
        if !args.is_empty() {
            return Err(fresh::error::<PyTypeError>("function takes no positional arguments"));
        }
        let Some(task) = self.task.fetch(py) else { return Ok(()) };
        let error = self.error.take(py).map(|error| PyErr::from_value(error.into_bound(py)));
        step::step_anywhere(task.bind(py), error)
    }

    #[getter]
    fn __self__(&self, py: Python<'_>) -> Option<Py<Task>> {
        self.task.fetch(py)
    }

    #[getter]
    fn __qualname__(&self) -> Text<&'static str> {
        Text("Task.task_step")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.task.traverse(|task| visit.call(task))?;
            self.error.traverse(|error| visit.call(error))
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop((self.task.take(py), self.error.take(py)));
    }
}

unsafe extern "C" fn task_wakeup(
    task: *mut ffi::PyObject,
    future: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called attached, with the task that `wakeup_method` bound and a live argument.
    let (py, task, future) = unsafe {
        let py = Python::assume_attached();
        (
            py,
            Bound::from_borrowed_ptr(py, task).cast_into_unchecked::<Task>(),
            Bound::from_borrowed_ptr(py, future),
        )
    };
    let wake = |_: Python<'_>| match contained_result(|| step::wake_anywhere(&task, &future)) {
        Ok(()) => py.None().into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    };
    // SAFETY: the thread is attached; this tells PyO3, which otherwise would put off every drop
    // to its own next call: on a loop that is not ours that may be long after.
    unsafe { Python::attach_unchecked(wake) }
}

impl Task {
    /// The bound method `task_wakeup`, under which a waiting task stands in a future's callbacks.
    pub(super) fn wakeup_method<'py>(task: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        struct Definition(std::cell::UnsafeCell<ffi::PyMethodDef>);
        // SAFETY: the interpreter only reads a method definition.
        unsafe impl Sync for Definition {}
        static DEFINITION: Definition = Definition(std::cell::UnsafeCell::new(ffi::PyMethodDef {
            ml_name: c"task_wakeup".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunction: task_wakeup },
            ml_flags: ffi::METH_O,
            ml_doc: std::ptr::null(),
        }));
        // SAFETY: attached; the definition is static and the function has the shape of `METH_O`.
        unsafe {
            let method =
                ffi::PyCFunction_NewEx(DEFINITION.0.get(), task.as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(task.py(), method)
        }
    }
}
