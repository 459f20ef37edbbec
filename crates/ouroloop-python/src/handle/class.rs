//! `Handle` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::object::{Handle, State, class_of, reference};
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::native::cell::AttachedCell;
use crate::native::shelf::{self, Shelved};
use crate::native::slots::Deallocate;
use crate::standard::Standard;

#[pymethods]
impl Handle {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(callback, args, loop, context=None)")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: AttachedCell::new(State::default()) }
    }

    #[pyo3(signature = (callback, args, r#loop, context=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyAny>,
        r#loop: Bound<'_, PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        Self::hold(slf);
        slf.get().initialize(callback, args, r#loop, context)
    }

    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let standard = Standard::get(slf.py())?;
        #[cfg(Py_3_14)]
        if slf.get().state.with(slf.py(), |state| state.guards) {
            return Ok(class_of::<Self>(slf.as_any(), &standard.thread_safe_handle));
        }
        Ok(class_of::<Self>(slf.as_any(), &standard.handle))
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        let kept = slf.get().state.with(py, |state| {
            reference(py, state.rare.as_ref().and_then(|rare| rare.repr.as_ref()))
        });
        if let Some(kept) = kept {
            return Ok(kept.into_bound(py));
        }
        let info = slf.call_method0(intern!(py, "_repr_info"))?;
        let words = fresh::string(py, " ")?.call_method1(intern!(py, "join"), (info,))?;
        Ok(fresh::string(py, &fresh::text(format_args!("<{words}>"))?)?.into_any())
    }

    #[pyo3(name = "_repr_info")]
    fn py_repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::repr_info(slf)
    }

    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        #[cfg(Py_3_14)]
        Self::wait(slf)?;
        Self::withdraw(slf);
        Self::cancel_now(slf)
    }

    #[cfg(not(Py_3_14))]
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.is_cancelled(py)
    }

    #[cfg(Py_3_14)]
    fn cancelled(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::wait(slf)?;
        Ok(slf.get().is_cancelled(slf.py()))
    }

    #[cfg(Py_3_12)]
    fn get_context(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        Self::context_attribute(slf)
    }

    #[pyo3(name = "_run")]
    fn py_run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let _level = Level::enter(slf.py())?;
        Self::hold(slf);
        Self::run(slf)
    }

    #[getter(_callback)]
    pub(super) fn callback(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        Self::hold(slf);
        slf.get().state.with(slf.py(), |state| reference(slf.py(), state.callback.as_ref()))
    }

    #[getter(_args)]
    pub(super) fn args(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        Self::hold(slf);
        slf.get().state.with(slf.py(), |state| reference(slf.py(), state.args.as_ref()))
    }

    #[getter(_context)]
    fn context_attribute(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        Self::hold(slf);
        slf.get().context_object(slf.py())
    }

    #[getter(_loop)]
    pub(super) fn event_loop(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        Self::hold(slf);
        slf.get().state.with(slf.py(), |state| reference(slf.py(), state.event_loop.as_ref()))
    }

    #[getter(_cancelled)]
    fn cancelled_flag(&self, py: Python<'_>) -> bool {
        self.is_cancelled(py)
    }

    #[getter(_source_traceback)]
    fn source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.source(py)
    }

    #[setter(_source_traceback)]
    fn set_source_traceback(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        drop(
            self.state
                .with(py, |state| std::mem::replace(&mut state.rare().source_traceback, value)),
        );
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                visit.call(&state.callback)?;
                visit.call(&state.args)?;
                if let Some(context) = &state.context {
                    context.visit(&visit)?;
                }
                visit.call(&state.event_loop)?;
                match &state.rare {
                    Some(rare) => {
                        #[cfg(Py_3_14)]
                        visit.call(&rare.turnstile.lock)?;
                        visit.call(&rare.repr)?;
                        visit.call(&rare.source_traceback)
                    }
                    None => Ok(()),
                }
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.with(py, |state| {
            (
                [state.callback.take(), state.args.take(), state.event_loop.take()],
                state.context.take(),
                state.rare.take(),
            )
        }));
    }
}

impl Deallocate for Handle {
    keeps_original!();

    /// They only give the loop its handle back, which must not wait.
    const LAST_WORDS_NEST: bool = false;

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        Self::is_missed(slf)
    }

    fn last_words(slf: &Bound<'_, Self>) {
        Self::hold(slf);
    }

    fn detach(slf: &Bound<'_, Self>) {
        Self::leave_entry(slf);
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }
}

impl Shelved for Handle {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        slf.get().state.replace(slf.py(), State::default()).release(slf.py());
    }
}
