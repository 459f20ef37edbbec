//! `Handle` and `TimerHandle`: what Python code gets for a callback it has scheduled.

mod confine;
mod entries;
mod scheduled;
mod timer;
#[cfg(Py_3_14)]
mod turnstile;

use std::sync::OnceLock;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTypeInfo, ffi};

use crate::context::{Snapshot, run_in};
use crate::errors::containment::settled;
use crate::errors::leaving::leaves_loop;
use crate::event_loop::Loop;
use crate::event_loop::errors::report_caught;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::room::gathered;
use crate::native::cell::AttachedCell;
use crate::native::shelf::{self, Shelf, Shelved};
use crate::native::slots::Deallocate;
use crate::standard::Standard;

pub(crate) use confine::{confine, report_call};
pub(crate) use entries::{Call, Nothing};
use scheduled::Pending;
pub(crate) use scheduled::{Contents, Scheduled};
pub(crate) use timer::{TimerHandle, When, seconds_of};
#[cfg(Py_3_14)]
use turnstile::Turnstile;

#[derive(Debug, Default)]
pub(crate) struct State {
    callback: Option<Py<PyAny>>,
    args: Option<Py<PyAny>>,
    context: Option<Snapshot>,
    event_loop: Option<Py<PyAny>>,
    /// Where the rest stands while the handle is thin: see [`scheduled`].
    pending: Option<Pending>,
    cancelled: bool,
    /// Whether other threads may cancel it at any time.
    #[cfg(Py_3_14)]
    guards: bool,
    rare: Option<Box<Rare>>,
}

/// What most handles never have.
#[derive(Debug, Default)]
struct Rare {
    /// The text from before a cancellation dropped the callback, kept in debug mode.
    repr: Option<Py<PyAny>>,
    source_traceback: Option<Py<PyAny>>,
    #[cfg(Py_3_14)]
    turnstile: Turnstile,
}

impl State {
    /// Drops every reference at once, as [`shelf`] needs it.
    fn release(self, py: Python<'_>) {
        [self.callback, self.args, self.event_loop]
            .into_iter()
            .flatten()
            .for_each(|reference| reference.drop_ref(py));
        if let Some(context) = self.context {
            context.drop_ref(py);
        }
        if let Some(rare) = self.rare {
            [rare.repr, rare.source_traceback]
                .into_iter()
                .flatten()
                .for_each(|reference| reference.drop_ref(py));
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Other threads may wait for the end of a callback that makes its handle anew.
    #[cfg(Py_3_14)]
    fn with_turnstile_of(mut self, before: &mut Self) -> Self {
        self.guards = before.guards;
        if let Some(rare) = &mut before.rare {
            self.rare().turnstile = std::mem::take(&mut rare.turnstile);
        }
        self
    }

    fn source(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        reference(py, self.rare.as_ref().and_then(|rare| rare.source_traceback.as_ref()))
    }
}

/// A native `asyncio.Handle`.
#[pyclass(frozen, subclass, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Handle {
    state: AttachedCell<State>,
}

impl Handle {
    /// An ordinary handle, which nothing has queued.
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>, contents: Contents) -> Self {
        let Contents { callback, args, context } = contents;
        Self {
            state: AttachedCell::new(State {
                callback: Some(callback),
                args: Some(args),
                context: Some(context),
                event_loop: Some(event_loop.clone().unbind()),
                ..State::default()
            }),
        }
    }

    /// [`Handle::new`] as an object.
    pub(crate) fn create<'py>(
        event_loop: &Bound<'py, Loop>,
        contents: Contents,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let fresh = Self::new(event_loop.as_any(), contents);
        let Some(handle) = shelf::take::<Self>(py) else { return Bound::new(py, fresh) };
        handle.get().state.set(py, fresh.state.into_inner());
        shelf::track(&handle);
        Ok(handle)
    }

    /// An empty handle, which the garbage collector does not track.
    #[inline]
    fn thin(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        if let Some(handle) = shelf::take::<Self>(py) {
            return Ok(handle);
        }
        let handle = Bound::new(py, Self { state: AttachedCell::new(State::default()) })?;
        shelf::untrack(&handle);
        Ok(handle)
    }

    /// In debug mode, remembers where the handle was made.
    pub(crate) fn remember_source(&self, py: Python<'_>) -> PyResult<()> {
        let stack = Standard::get(py)?.extract_stack.call0(py)?;
        drop(self.state.with(py, |state| state.rare().source_traceback.replace(stack)));
        Ok(())
    }

    #[inline]
    pub(crate) fn is_cancelled(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.cancelled)
    }

    pub(crate) fn source(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.source(py))
    }

    /// From now on other threads may cancel it at any time.
    #[cfg(Py_3_14)]
    pub(crate) fn guard(&self, py: Python<'_>) {
        self.state.with(py, |state| state.guards = true);
    }

    #[cfg(Py_3_14)]
    pub(crate) fn turnstile<R>(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut Turnstile) -> R,
    ) -> R {
        self.state.with(py, |state| change(&mut state.rare().turnstile))
    }

    /// Waits until no other thread runs its callback.
    #[cfg(Py_3_14)]
    fn wait(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().state.with(slf.py(), |state| state.guards) {
            return turnstile::wait(slf);
        }
        Ok(())
    }

    /// Runs the callback; an error goes to the loop's exception handler.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the callback.
    #[inline]
    pub(crate) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        #[cfg(Py_3_14)]
        if slf.get().state.with(slf.py(), |state| state.guards) {
            return turnstile::run_guarded(slf, || Self::run_callback(slf));
        }
        Self::run_callback(slf)
    }

    #[inline]
    fn run_callback(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let parts = slf.get().state.with(py, |state| {
            if state.cancelled {
                return None;
            }
            Some((state.callback.as_ref()?.clone_ref(py), state.args.as_ref()?.clone_ref(py)))
        });
        let Some((callback, args)) = parts else { return Ok(()) };
        let Some(context) = slf.get().context_object(py)? else { return Ok(()) };
        run_in(py, &context, || call(py, &callback, &args))
            .or_else(|error| Self::report(slf, error))
    }

    /// The context object, made now if nobody has asked for it.
    fn context_object(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(context) = self.state.with(py, |state| state.context.take()) else {
            return Ok(None);
        };
        let context = context.into_context(py)?;
        let kept = Snapshot::of(context.clone_ref(py));
        drop(self.state.with(py, |state| state.context.replace(kept)));
        Ok(Some(context))
    }

    /// Gives a callback's error to the loop's exception handler.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`, which leave the loop instead.
    #[cold]
    pub(crate) fn report(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        let error = settled(py, error);
        if leaves_loop(py, &error) {
            return Err(error);
        }
        let (callback, args, event_loop, source) = slf.get().state.with(py, |state| {
            (
                reference(py, state.callback.as_ref()),
                reference(py, state.args.as_ref()),
                reference(py, state.event_loop.as_ref()),
                state.source(py),
            )
        });
        let Some(event_loop) = event_loop else { return Err(error) };
        let event_loop = event_loop.bind(py);
        let keywords = fresh::dict(py)?;
        if cfg!(Py_3_13) {
            keywords.set_item(
                intern!(py, "debug"),
                event_loop.call_method0(intern!(py, "get_debug"))?,
            )?;
        }
        let shown = Standard::get(py)?
            .format_callback_source
            .bind(py)
            .call((callback, args), Some(&keywords))?;
        let context = fresh::dict(py)?;
        context.set_item(intern!(py, "message"), Text(format!("Exception in callback {shown}")))?;
        context.set_item(intern!(py, "handle"), slf)?;
        if let Some(source) = source {
            context.set_item(intern!(py, "source_traceback"), source)?;
        }
        report_caught(event_loop, error.into_value(py).bind(py), &context)
    }

    /// Fills in a handle that Python code makes.
    fn initialize(
        &self,
        callback: Py<PyAny>,
        args: &Bound<'_, PyAny>,
        event_loop: Bound<'_, PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = event_loop.py();
        let _level = Level::enter(py)?;
        let context = match context {
            Some(context) => Snapshot::of(context),
            None => Snapshot::current(py)?,
        };
        let args = match args.cast_exact::<PyTuple>() {
            Ok(args) => args.clone(),
            Err(_) => fresh::tuple(py, gathered(py, args.try_iter()?)?)?,
        };
        let args = args.into_any().unbind();
        let debug = is_debug(&event_loop)?;
        let Self { state } = Self::new(&event_loop, Contents { callback, args, context });
        let fresh = state.into_inner();
        drop(self.state.with(py, |state| {
            #[cfg(Py_3_14)]
            let fresh = fresh.with_turnstile_of(state);
            std::mem::replace(state, fresh)
        }));
        if debug { self.remember_source(py) } else { Ok(()) }
    }

    pub(crate) fn cancel_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_cancelled(py) {
            return Ok(());
        }
        slf.get().state.with(py, |state| state.cancelled = true);
        let event_loop = slf.get().state.with(py, |state| reference(py, state.event_loop.as_ref()));
        if let Some(event_loop) = event_loop
            && is_debug(event_loop.bind(py))?
        {
            let _level = Level::enter(py)?;
            let text = slf.call_method0(intern!(py, "__repr__"))?.unbind();
            drop(slf.get().state.with(py, |state| state.rare().repr.replace(text)));
        }
        drop(slf.get().state.with(py, |state| (state.callback.take(), state.args.take())));
        Ok(())
    }

    fn repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::hold(slf);
        Standard::get(slf.py())?.handle_repr_info.bind(slf.py()).call1((slf,))
    }
}

fn is_debug(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    match event_loop.cast::<Loop>() {
        Ok(native) => Ok(native.get().is_debug(event_loop.py())),
        Err(_) => event_loop.call_method0(intern!(event_loop.py(), "get_debug"))?.is_truthy(),
    }
}

fn reference(py: Python<'_>, value: Option<&Py<PyAny>>) -> Option<Py<PyAny>> {
    value.map(|value| value.clone_ref(py))
}

/// Calls `callback(*args)` by the shortest way; `args` is a tuple.
#[inline]
pub(crate) fn call(py: Python<'_>, callback: &Py<PyAny>, args: &Py<PyAny>) -> PyResult<()> {
    // SAFETY: attached; both objects are alive, and `args` is a tuple by construction, whose items
    // live as long as it does.
    let answer = unsafe {
        let (function, args) = (callback.as_ptr(), args.as_ptr());
        match ffi::PyTuple_GET_SIZE(args) {
            0 => ffi::PyObject_CallNoArgs(function),
            1 => ffi::PyObject_CallOneArg(function, ffi::PyTuple_GET_ITEM(args, 0)),
            _ => ffi::PyObject_Call(function, args, std::ptr::null_mut()),
        }
    };
    // SAFETY: the call answers a new reference or NULL with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, answer).map(drop) }
}

/// The standard class for native objects proper; a subclass is its own.
fn class_of<'py, T: PyTypeInfo>(
    object: &Bound<'py, PyAny>,
    standard: &Py<PyAny>,
) -> Bound<'py, PyAny> {
    let class = object.get_type();
    if class.is(object.py().get_type::<T>()) {
        return standard.bind(object.py()).clone();
    }
    class.into_any()
}

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
        Ok(fresh::string(py, &format!("<{words}>"))?.into_any())
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
    fn callback(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        Self::hold(slf);
        slf.get().state.with(slf.py(), |state| reference(slf.py(), state.callback.as_ref()))
    }

    #[getter(_args)]
    fn args(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        Self::hold(slf);
        slf.get().state.with(slf.py(), |state| reference(slf.py(), state.args.as_ref()))
    }

    #[getter(_context)]
    fn context_attribute(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        Self::hold(slf);
        slf.get().context_object(slf.py())
    }

    #[getter(_loop)]
    fn event_loop(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
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
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

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
    fn shelf() -> &'static Shelf {
        static SHELF: Shelf = Shelf::new();
        &SHELF
    }

    fn blank(slf: &Bound<'_, Self>) {
        slf.get().state.replace(slf.py(), State::default()).release(slf.py());
    }
}
