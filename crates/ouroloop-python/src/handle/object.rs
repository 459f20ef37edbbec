//! What a handle is, and what it does when its turn has come.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTypeInfo, ffi};

use super::pending::Pending;
#[cfg(Py_3_14)]
use super::turnstile::Turnstile;
use crate::context::{Snapshot, run_in};
use crate::errors::containment::settled;
use crate::errors::leaving::leaves_loop;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::room::gathered;
use crate::native::cell::AttachedCell;
use crate::native::shelf;
use crate::standard::Standard;
use crate::turn::{Loop, report_caught};

/// What is to be called, and in which context.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) callback: Py<PyAny>,
    /// A tuple.
    pub(crate) args: Py<PyAny>,
    pub(crate) context: Snapshot,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) callback: Option<Py<PyAny>>,
    pub(super) args: Option<Py<PyAny>>,
    pub(super) context: Option<Snapshot>,
    pub(super) event_loop: Option<Py<PyAny>>,
    /// Where the rest stands while the handle is thin: see `scheduled`.
    pub(super) pending: Option<Pending>,
    pub(super) cancelled: bool,
    /// Whether other threads may cancel it at any time.
    #[cfg(Py_3_14)]
    pub(super) guards: bool,
    pub(super) rare: Option<Box<Rare>>,
}

/// What most handles never have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// The text from before a cancellation dropped the callback, kept in debug mode.
    pub(super) repr: Option<Py<PyAny>>,
    pub(super) source_traceback: Option<Py<PyAny>>,
    #[cfg(Py_3_14)]
    pub(super) turnstile: Turnstile,
}

impl State {
    /// Drops every reference at once, as [`shelf`] needs it.
    pub(super) fn release(self, py: Python<'_>) {
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

    pub(super) fn rare(&mut self) -> &mut Rare {
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

    pub(super) fn source(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        reference(py, self.rare.as_ref().and_then(|rare| rare.source_traceback.as_ref()))
    }
}

/// A native `asyncio.Handle`.
#[pyclass(frozen, subclass, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Handle {
    pub(super) state: AttachedCell<State>,
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
    pub(super) fn thin(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
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

    /// Runs the callback; an error goes to the loop's exception handler.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the callback.
    #[inline]
    pub(crate) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        #[cfg(Py_3_14)]
        if slf.get().state.with(slf.py(), |state| state.guards) {
            return Self::run_guarded(slf, || Self::run_callback(slf));
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
        let (callback, args) = (callback.into_bound(py), args.into_bound(py));
        let Some(context) = slf.get().context_object(py)? else { return Ok(()) };
        let context = context.into_bound(py);
        run_in(py, context.as_unbound(), || call(py, callback.as_unbound(), args.as_unbound()))
            .or_else(|error| Self::report(slf, error))
    }

    /// The context object, made now if nobody has asked for it.
    pub(super) fn context_object(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
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
        context.set_item(
            intern!(py, "message"),
            Text(fresh::text(format_args!("Exception in callback {shown}"))?),
        )?;
        context.set_item(intern!(py, "handle"), slf)?;
        if let Some(source) = source {
            context.set_item(intern!(py, "source_traceback"), source)?;
        }
        report_caught(event_loop, error.into_value(py).bind(py), &context)
    }

    /// Fills in a handle that Python code makes.
    pub(super) fn initialize(
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

    pub(super) fn repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
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

pub(super) fn reference(py: Python<'_>, value: Option<&Py<PyAny>>) -> Option<Py<PyAny>> {
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
pub(super) fn class_of<'py, T: PyTypeInfo>(
    object: &Bound<'py, PyAny>,
    standard: &Py<PyAny>,
) -> Bound<'py, PyAny> {
    let class = object.get_type();
    if class.is(object.py().get_type::<T>()) {
        return standard.bind(object.py()).clone();
    }
    class.into_any()
}
