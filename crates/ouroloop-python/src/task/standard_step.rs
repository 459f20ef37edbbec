//! Recognising the tasks of the standard library's own by the callables with which they step.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

/// By what a standard task steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandardStep {
    /// A step without arguments.
    Step,
    /// A step after a future, which is the argument.
    Wakeup,
}

impl StandardStep {
    /// What `callback` is, if it is either.
    #[inline]
    pub(crate) fn of(callback: &Bound<'_, PyAny>) -> Option<Self> {
        static STEP: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(std::ptr::null_mut());
        static WAKEUP: AtomicPtr<ffi::PyMethodDef> = AtomicPtr::new(std::ptr::null_mut());
        // SAFETY: attached; the callback is alive, and so are its type and, for a built-in
        // function, the definition of that.
        unsafe {
            let class = ffi::Py_TYPE(callback.as_ptr());
            if class == &raw mut ffi::PyCFunction_Type {
                let definition = (*callback.as_ptr().cast::<ffi::PyCFunctionObject>()).m_ml;
                return is(&WAKEUP, definition, |definition| {
                    named((*definition).ml_name, c"task_wakeup")
                })
                .then_some(Self::Wakeup);
            }
            if class == &raw mut ffi::PyFunction_Type {
                return None;
            }
            is(&STEP, class, |class| {
                named((*class).tp_name, c"_asyncio.TaskStepMethWrapper")
                    || named((*class).tp_name, c"TaskStepMethWrapper")
            })
            .then_some(Self::Step)
        }
    }
}

/// Whether `candidate` is the one known; the first that looks like it becomes known.
fn is<T>(known: &AtomicPtr<T>, candidate: *mut T, looks: impl FnOnce(*mut T) -> bool) -> bool {
    let before = known.load(Ordering::Relaxed);
    if !before.is_null() {
        return before == candidate;
    }
    let found = looks(candidate);
    if found {
        known.store(candidate, Ordering::Relaxed);
    }
    found
}

/// # Safety
/// `name` must be null or a C string.
unsafe fn named(name: *const std::ffi::c_char, wanted: &std::ffi::CStr) -> bool {
    // SAFETY: the caller's promise.
    !name.is_null() && unsafe { std::ffi::CStr::from_ptr(name) } == wanted
}
