//! `Task`: a future that drives a coroutine.
//!
//! # The life of a task
//!
//! | it is | `awaited` | in the loop's ready queue |
//! | --- | --- | --- |
//! | about to step | none | one `Step`, `Throw` or `Wakeup` |
//! | stepping | none | nothing (what the step schedules comes after) |
//! | waiting | the future | nothing; the future's links hold one `Wakeup` |
//! | done | none | nothing |
//!
//! [`step`] carries out the transitions. `must_cancel` remembers a cancellation that found no
//! future to pass it on to; the next step throws it into the coroutine.

mod class;
pub(crate) mod current;
mod methods;
pub(crate) mod registry;
pub(crate) mod standard_step;
pub(crate) mod step;

use pyo3::exceptions::{PyRecursionError, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::callback::Callback;
use crate::combine::gather::GatheringFuture;
use crate::context::copy_current;
use crate::event_loop::Loop;
use crate::future::{Future, Home, Phase};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict;
use crate::native::overrides::{self, Attributes};
use crate::native::shelf::{self, Shelved};
use crate::native::slots::Deallocate;
use crate::standard::Standard;

pub(crate) use methods::{StepMethod, wakeup_method};

/// A task's name; the default one is only written out when somebody asks.
#[derive(Debug)]
pub(crate) enum Name {
    Numbered(u64),
    Given(Py<PyAny>),
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) coroutine: Option<Py<PyAny>>,
    pub(crate) context: Option<Py<PyAny>>,
    /// The future that the coroutine waits for: `_fut_waiter`.
    pub(crate) awaited: Option<Py<PyAny>>,
    pub(crate) name: Name,
    pub(crate) must_cancel: bool,
    pub(crate) log_destroy_pending: bool,
    pub(crate) cancel_requests: u32,
    /// Where the registry of live tasks has it.
    pub(crate) registered: Option<registry::Place>,
}

/// A native `asyncio.Task`.
#[pyclass(frozen, subclass, extends = Future, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) state: AttachedCell<State>,
}

/// What a task is made of, apart from its loop.
#[derive(Debug)]
pub(crate) struct Making<'py> {
    pub(crate) coroutine: Bound<'py, PyAny>,
    pub(crate) name: Option<Bound<'py, PyAny>>,
    pub(crate) context: Option<Bound<'py, PyAny>>,
    pub(crate) eager_start: bool,
}

/// What a request to cancel a task found.
enum Request {
    /// The task has ended.
    Done,
    /// It was counted; the task awaits this, if anything.
    Counted(Option<Py<PyAny>>),
}

impl State {
    fn empty() -> Self {
        Self {
            coroutine: None,
            context: None,
            awaited: None,
            name: Name::Numbered(0),
            must_cancel: false,
            log_destroy_pending: true,
            cancel_requests: 0,
            registered: None,
        }
    }

    /// Drops every reference at once, as [`shelf`] needs it.
    fn release(self, py: Python<'_>) {
        let name = match self.name {
            Name::Given(name) => Some(name),
            Name::Numbered(_) => None,
        };
        [self.coroutine, self.context, self.awaited, name]
            .into_iter()
            .flatten()
            .for_each(|reference| reference.drop_ref(py));
    }
}

impl Task {
    fn empty() -> Self {
        Self { state: AttachedCell::new(State::empty()) }
    }

    /// A task on a native loop, scheduled for the next turn (or stepped at once if eager).
    pub(crate) fn create<'py>(
        event_loop: &Bound<'py, Loop>,
        making: &Making<'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let home = Home::Native(event_loop.clone().unbind());
        let py = event_loop.py();
        let task = if let Some(task) = shelf::take::<Self>(py) {
            task.as_super().get().set_home(py, home);
            shelf::track(&task);
            task
        } else {
            let parts = PyClassInitializer::from(Future::new(home)).add_subclass(Self::empty());
            let task = Bound::new(py, parts)?;
            instance_dict::drop_unused(task.as_any());
            task
        };
        if event_loop.get().is_debug(py) {
            task.as_super().get().remember_source(py, event_loop.as_any())?;
        }
        Self::begin(&task, making, event_loop.as_any())?;
        Ok(task)
    }

    /// The second half of making a task: its future has its loop.
    fn begin(
        slf: &Bound<'_, Self>,
        making: &Making<'_>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        if !is_coroutine(&making.coroutine)? {
            slf.get().state.with(py, |state| state.log_destroy_pending = false);
            let message = format!("a coroutine was expected, got {}", making.coroutine.repr()?);
            return Err(fresh::error::<PyTypeError>(message));
        }
        // Before the context is looked at, as asyncio does.
        let name = Self::make_name(py, making.name.as_ref())?;
        let context = match &making.context {
            Some(context) => {
                // Up to 3.14 asyncio takes it, and the task never runs.
                if !context.is_instance_of::<pyo3::types::PyContext>() {
                    slf.get().state.with(py, |state| state.log_destroy_pending = false);
                    let class = context.get_type().name()?;
                    let message = format!("a contextvars.Context was expected, got {class}");
                    return Err(fresh::error::<PyTypeError>(message));
                }
                context.clone().unbind()
            }
            None => copy_current(py)?,
        };
        let coroutine = making.coroutine.clone().unbind();
        drop(slf.get().state.with(py, |state| {
            let name = std::mem::replace(&mut state.name, name);
            (name, state.coroutine.replace(coroutine), state.context.replace(context))
        }));
        if making.eager_start {
            let started = is_running(event_loop).and_then(|running| {
                running.then(|| step::start_eagerly(slf, event_loop)).transpose()
            });
            match started {
                Ok(Some(())) => return Ok(()),
                Ok(None) => {}
                Err(error) => {
                    // Whoever made it hears of that, and nobody of a task that was lost.
                    slf.get().state.with(py, |state| state.log_destroy_pending = false);
                    return Err(error);
                }
            }
        }
        registry::register(slf)?;
        Self::schedule_step(slf)
    }

    /// The name given, or the next number; before 3.13 a given name uses up a number too.
    fn make_name(py: Python<'_>, name: Option<&Bound<'_, PyAny>>) -> PyResult<Name> {
        match name {
            None => Ok(Name::Numbered(registry::next_number(py))),
            Some(name) => {
                if cfg!(not(Py_3_13)) {
                    registry::next_number(py);
                }
                if name.is_exact_instance_of::<PyString>() {
                    return Ok(Name::Given(name.clone().unbind()));
                }
                let _level = Level::enter(py)?;
                Ok(Name::Given(name.str()?.into_any().unbind()))
            }
        }
    }

    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let name = self.state.with(py, |state| match &state.name {
            Name::Numbered(number) => Err(*number),
            Name::Given(name) => Ok(name.clone_ref(py)),
        });
        match name {
            Ok(name) => Ok(name.into_bound(py)),
            Err(number) => {
                let name = fresh::string(py, &format!("Task-{number}"))?.into_any();
                self.set_name(py, Name::Given(name.clone().unbind()));
                Ok(name)
            }
        }
    }

    fn set_name(&self, py: Python<'_>, name: Name) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.name, name)));
    }

    /// The context in which the coroutine runs.
    pub(crate) fn context(&self, py: Python<'_>) -> Py<PyAny> {
        let context = self.state.with(py, |state| state.context.clone_ref(py));
        context.unwrap_or_else(|| py.None())
    }

    /// Queues the task's next step.
    pub(crate) fn schedule_step(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::schedule(slf, None)
    }

    /// Queues a step that throws `error` into the coroutine.
    pub(crate) fn schedule_throw(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        Self::schedule(slf, Some(error.into_value(slf.py()).into_any()))
    }

    fn schedule(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let native = slf.as_super().get().state.with(py, |state| match &state.home {
            Home::Native(native) => Some(native.clone_ref(py)),
            _ => None,
        });
        if let Some(native) = native {
            let native = native.bind(py).get();
            native.check_schedulable(py)?;
            native.reserve(py, 1)?;
            let task = slf.clone().unbind();
            native.push(
                py,
                match error {
                    None => Callback::Step(task),
                    Some(error) => Callback::Throw(task, error),
                },
            );
            return Ok(());
        }
        let event_loop = slf.as_super().get().event_loop(py)?;
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "context"), slf.get().context(py))?;
        let method = Bound::new(py, StepMethod::new(slf.clone().unbind(), error))?;
        event_loop.call_method(intern!(py, "call_soon"), (method,), Some(&keywords))?;
        Ok(())
    }

    /// `Task.cancel`.
    ///
    /// Goes down a chain of tasks that await each other by a loop: it may be of any length.
    ///
    /// # Errors
    /// `RecursionError` for tasks that await each other in a circle; what a foreign future's
    /// `cancel` raises.
    pub(crate) fn cancel(slf: &Bound<'_, Self>, message: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let Request::Counted(mut awaited) = Self::request_cancel(slf) else { return Ok(false) };
        let mut task = slf.clone();
        let mut left = registry::live_count(py);
        loop {
            let passed_on = match awaited.take().map(|object| object.into_bound(py)) {
                None => false,
                Some(object) => match Self::with_own_cancel(&object) {
                    Some(next) => {
                        if let Request::Counted(further) = Self::request_cancel(next) {
                            left = left.checked_sub(1).ok_or_else(|| {
                                fresh::error::<PyRecursionError>("maximum recursion depth exceeded")
                            })?;
                            task = next.clone();
                            awaited = further;
                            continue;
                        }
                        false
                    }
                    None => cancel_awaited(&object, message.as_ref())?,
                },
            };
            if !passed_on {
                task.get().state.with(py, |state| state.must_cancel = true);
                let future = task.as_super().get();
                drop(
                    future
                        .state
                        .with(py, |state| state.set_rare(|rare| &mut rare.cancel_message, message)),
                );
            }
            return Ok(true);
        }
    }

    /// The object as a task whose `cancel` is this class's, be it of a derived one.
    fn with_own_cancel<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Self>> {
        static ORIGINAL: PyOnceLock<Attributes> = PyOnceLock::new();
        if let Ok(task) = object.cast_exact::<Self>() {
            return Some(task);
        }
        let task = object.cast::<Self>().ok()?;
        overrides::judge(task, &["cancel", "__getattribute__"], &ORIGINAL).0.then_some(task)
    }

    /// Counts a request to cancel a task.
    fn request_cancel(slf: &Bound<'_, Self>) -> Request {
        let py = slf.py();
        let pending = slf.as_super().get().state.with(py, |state| {
            state.log_traceback = false;
            state.phase == Phase::Pending
        });
        if !pending {
            return Request::Done;
        }
        Request::Counted(slf.get().state.with(py, |state| {
            state.cancel_requests += 1;
            state.awaited.clone_ref(py)
        }))
    }

    fn report_destroyed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().state.with(py, |state| state.log_destroy_pending = false);
        let context = fresh::dict(py)?;
        context.set_item(intern!(py, "task"), slf)?;
        context.set_item(intern!(py, "message"), Text("Task was destroyed but it is pending!"))?;
        let future = slf.as_super().get();
        let source = future.state.with(py, |state| state.rare(py, |rare| &rare.source_traceback));
        if let Some(source) = source {
            context.set_item(intern!(py, "source_traceback"), source)?;
        }
        let event_loop = future.event_loop(py)?;
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
        Ok(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // SAFETY: a class instance is dropped by `tp_dealloc`, attached.
        registry::forget(unsafe { Python::assume_attached() }, self);
    }
}

/// Passes a cancellation on to what a task waits for.
pub(crate) fn cancel_awaited(
    awaited: &Bound<'_, PyAny>,
    message: Option<&Py<PyAny>>,
) -> PyResult<bool> {
    let py = awaited.py();
    let message = message.map(|message| message.clone_ref(py));
    if let Ok(task) = awaited.cast_exact::<Task>() {
        return Task::cancel(task, message);
    }
    if let Ok(future) = awaited.cast_exact::<Future>() {
        return Future::cancel(future, message);
    }
    if let Ok(gathering) = awaited.cast_exact::<GatheringFuture>() {
        return GatheringFuture::cancel(gathering, message.as_ref());
    }
    let _level = Level::enter(py)?;
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "msg"), message)?;
    awaited.call_method(intern!(py, "cancel"), (), Some(&keywords))?.is_truthy()
}

/// `asyncio.iscoroutine`, without a call for the usual case.
fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: attached; compares the object's type.
    if unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) != 0 } {
        return Ok(true);
    }
    Standard::get(object.py())?.iscoroutine.bind(object.py()).call1((object,))?.is_truthy()
}

fn is_running(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    match event_loop.cast::<Loop>() {
        Ok(native) => Ok(native.get().is_running(event_loop.py())),
        Err(_) => event_loop.call_method0(intern!(event_loop.py(), "is_running"))?.is_truthy(),
    }
}

/// asyncio's error for operations that only the coroutine performs.
fn unsupported(operation: &str) -> PyErr {
    fresh::error::<PyRuntimeError>(format!("Task does not support {operation} operation"))
}

impl Deallocate for Task {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let pending =
            slf.as_super().get().state.with(py, |state| {
                state.phase == Phase::Pending && !matches!(state.home, Home::None)
            });
        (pending && slf.get().state.with(py, |state| state.log_destroy_pending))
            || Future::has_last_words(slf.as_super())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        let py = slf.py();
        // Whoever keeps it now, it is no task of its loop's any more.
        registry::forget(py, slf.get());
        if slf.as_super().get().phase(py) == Phase::Pending
            && slf.get().state.with(py, |state| state.log_destroy_pending)
            && let Err(error) = Self::report_destroyed(slf)
        {
            error.write_unraisable(py, Some(slf.as_any()));
        }
        Future::last_words(slf.as_super());
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { Future::strip(slf.as_super()) }
    }
}

impl Shelved for Task {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        let py = slf.py();
        registry::forget(py, slf.get());
        slf.get().state.replace(py, State::empty()).release(py);
        Future::blank(slf.as_super());
    }
}

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    crate::native::instance_dict::install::<Task>(py);
    crate::native::slots::install_deallocate::<Task>(py);
    crate::native::constructor::install_constructor::<Task>(py);
    registry::install(py)
}
