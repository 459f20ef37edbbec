//! `asyncio.timeout`, `timeout_at` and `Timeout`.
//!
//! | phase | alarm | left by |
//! | --- | --- | --- |
//! | `Created` | none | `enter` |
//! | `Entered` | set, unless there is no deadline | the alarm; `exit` |
//! | `Expiring` | none: the task has been cancelled | `exit` |
//! | `Expired`, `Exited` | none | |
//!
//! On a native loop the alarm is an entry among the engine's timers, or in the ready queue when the
//! deadline has passed already, and no object of Python's. Each entry carries the number of the
//! alarm that it was set for, and one that is out of date does nothing: the ready queue cannot
//! be searched.

use std::sync::OnceLock;

use ouroloop::timers::TimerId;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTimeoutError};
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyTuple, PyType};

use super::tasks::{cancel, cancelling, uncancel};
use crate::callback::Callback;
use crate::cell::AttachedCell;
use crate::containment::settled;
use crate::context::{copy_current, copy_of, run_in};
use crate::coroutine::{Body, Coroutine, Incoming};
use crate::event_loop::Loop;
use crate::fresh::{self, Text};
use crate::instance_dict;
use crate::shelf::{self, Shelf, Shelved};
use crate::slots::{Deallocate, Resumed};
use crate::standard::Standard;
use crate::task::{Task, registry};
use crate::waiter::running_loop;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Created,
    Entered,
    Expiring,
    Expired,
    Exited,
}

impl Phase {
    /// asyncio's word for it.
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Entered => "active",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Exited => "finished",
        }
    }
}

/// A deadline on the loop's clock.
#[derive(Debug)]
pub(super) enum When {
    Never,
    Seconds(f64),
    /// What the program handed in, which it gets back.
    Given(Py<PyAny>),
}

impl When {
    fn of(object: Bound<'_, PyAny>) -> Self {
        if object.is_none() { Self::Never } else { Self::Given(object.unbind()) }
    }

    /// `loop.time() + delay`, or never.
    pub(super) fn after(event_loop: &Bound<'_, PyAny>, delay: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = delay.py();
        if delay.is_none() {
            return Ok(Self::Never);
        }
        if let Ok(native) = event_loop.cast::<Loop>() {
            let now = native.get().time(py);
            let plain =
                delay.is_exact_instance_of::<PyFloat>() || delay.is_exact_instance_of::<PyInt>();
            if plain {
                return Ok(Self::Seconds(now + delay.extract::<f64>()?));
            }
            return Ok(Self::of(fresh::float(py, now)?.into_any().add(delay)?));
        }
        Ok(Self::of(event_loop.call_method0(intern!(py, "time"))?.add(delay)?))
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Seconds(seconds) => Self::Seconds(*seconds),
            Self::Given(object) => Self::Given(object.clone_ref(py)),
        }
    }

    fn object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match self {
            Self::Never => py.None(),
            Self::Seconds(seconds) => fresh::float(py, seconds)?.into_any().unbind(),
            Self::Given(object) => object,
        })
    }

    fn seconds(&self, py: Python<'_>) -> PyResult<f64> {
        match self {
            Self::Never => Ok(f64::INFINITY),
            Self::Seconds(seconds) => Ok(*seconds),
            Self::Given(object) => object.bind(py).extract(),
        }
    }

    /// Whether it is not after `now`.
    fn has_come(&self, py: Python<'_>, now: f64) -> PyResult<bool> {
        match self {
            Self::Never => Ok(false),
            Self::Seconds(seconds) => Ok(*seconds <= now),
            Self::Given(object) => object.bind(py).le(now),
        }
    }
}

/// What will call [`Timeout::on_timeout`].
#[derive(Debug)]
enum Alarm {
    None,
    /// An entry among a native loop's timers.
    Timer(Py<Loop>, TimerId),
    /// An entry in a native loop's ready queue.
    Queued,
    /// A handle of another loop.
    Handle(Py<PyAny>),
}

#[derive(Debug)]
struct State {
    phase: Phase,
    when: When,
    task: Option<Py<PyAny>>,
    /// How many requests to cancel the task there were on entry.
    cancelling: u32,
    alarm: Alarm,
    /// The number of the alarm that is set, or was set last.
    number: u32,
    /// Where a task that is not native is cancelled in.
    context: Option<Py<PyAny>>,
}

impl State {
    fn new(when: When) -> Self {
        Self {
            phase: Phase::Created,
            when,
            task: None,
            cancelling: 0,
            alarm: Alarm::None,
            number: 0,
            context: None,
        }
    }

    /// Drops every reference at once, as [`shelf`] needs it.
    fn release(self, py: Python<'_>) {
        if let When::Given(object) = self.when {
            object.drop_ref(py);
        }
        match self.alarm {
            Alarm::Timer(event_loop, _) => event_loop.drop_ref(py),
            Alarm::Handle(handle) => handle.drop_ref(py),
            Alarm::None | Alarm::Queued => {}
        }
        [self.task, self.context].into_iter().flatten().for_each(|object| object.drop_ref(py));
    }
}

/// Asynchronous context manager that cancels the task inside it once its deadline has come.
///
/// `timeout()` and `timeout_at()` make it.
#[pyclass(frozen, subclass, weakref, dict, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Timeout {
    state: AttachedCell<State>,
}

impl Timeout {
    pub(super) fn create(py: Python<'_>, when: When) -> PyResult<Bound<'_, Self>> {
        let Some(timeout) = shelf::take::<Self>(py) else {
            return Bound::new(py, Self { state: AttachedCell::new(State::new(when)) });
        };
        drop(timeout.get().state.with(py, |state| std::mem::replace(&mut state.when, when)));
        shelf::track(&timeout);
        Ok(timeout)
    }

    fn phase(&self, py: Python<'_>) -> Phase {
        self.state.with(py, |state| state.phase)
    }

    fn is_exact(slf: &Bound<'_, Self>) -> bool {
        slf.as_any().is_exact_instance_of::<Self>()
    }

    /// `__aenter__` on the running loop, which does not wait.
    ///
    /// # Errors
    /// `RuntimeError` on a second entry and outside of a task.
    pub(super) fn enter(slf: &Bound<'_, Self>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().phase(py) != Phase::Created {
            return Err(fresh::error::<PyRuntimeError>("Timeout has already been entered"));
        }
        let task = task_of(event_loop)?;
        let requests = cancelling(&task)?;
        let (when, before) = slf.get().state.with(py, |state| {
            state.phase = Phase::Entered;
            state.cancelling = requests;
            (state.when.clone_ref(py), state.task.replace(task.unbind()))
        });
        drop(before);
        if Self::is_exact(slf) {
            return Self::set_alarm(slf, event_loop, &when);
        }
        slf.call_method1(intern!(py, "reschedule"), (when.object(py)?,)).map(drop)
    }

    /// Sets the alarm for `when`; there is none yet.
    fn set_alarm(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, PyAny>,
        when: &When,
    ) -> PyResult<()> {
        let py = slf.py();
        if matches!(when, When::Never) {
            return Ok(());
        }
        let Ok(native) = event_loop.cast::<Loop>() else {
            let now = event_loop.call_method0(intern!(py, "time"))?;
            let callback = slf.getattr(intern!(py, "_on_timeout"))?;
            let when = when.clone_ref(py).object(py)?;
            let handle = if when.bind(py).le(now)? {
                event_loop.call_method1(intern!(py, "call_soon"), (callback,))?
            } else {
                event_loop.call_method1(intern!(py, "call_at"), (when, callback))?
            };
            let alarm = Alarm::Handle(handle.unbind());
            drop(slf.get().state.with(py, |state| std::mem::replace(&mut state.alarm, alarm)));
            return Ok(());
        };
        let this = native.get();
        let due = when.has_come(py, this.time(py))?;
        let native_task = slf.get().state.with(py, |state| {
            state.task.as_ref().is_some_and(|task| task.bind(py).is_exact_instance_of::<Task>())
        });
        let context = if native_task { None } else { Some(copy_current(py)?) };
        let number = slf.get().state.with(py, |state| {
            state.number = state.number.wrapping_add(1);
            state.number
        });
        let callback = Callback::Deadline(slf.clone().unbind(), number);
        let alarm = if due {
            this.check_schedulable(py)?;
            this.reserve(py, 1)?;
            this.push(py, callback);
            Alarm::Queued
        } else {
            let timer = this.schedule_at(py, when.seconds(py)?, callback)?;
            Alarm::Timer(native.clone().unbind(), timer)
        };
        drop(slf.get().state.with(py, |state| {
            let context = std::mem::replace(&mut state.context, context);
            (std::mem::replace(&mut state.alarm, alarm), context)
        }));
        Ok(())
    }

    /// Cancels the alarm, if one is set.
    fn clear_alarm(&self, py: Python<'_>) -> PyResult<()> {
        let alarm = self.state.with(py, |state| {
            state.number = state.number.wrapping_add(1);
            std::mem::replace(&mut state.alarm, Alarm::None)
        });
        match alarm {
            Alarm::None | Alarm::Queued => Ok(()),
            Alarm::Timer(event_loop, timer) => {
                event_loop.bind(py).get().unschedule(py, timer);
                Ok(())
            }
            Alarm::Handle(handle) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        }
    }

    /// The native alarm of this number rings.
    ///
    /// # Errors
    /// What cancelling the task raises.
    pub(crate) fn ring(slf: &Bound<'_, Self>, number: u32) -> PyResult<()> {
        let py = slf.py();
        let found = slf.get().state.with(py, |state| {
            (state.number == number).then(|| {
                let reference =
                    |object: &Option<Py<PyAny>>| object.as_ref().map(|object| object.clone_ref(py));
                (reference(&state.context), reference(&state.task))
            })
        });
        let Some((context, task)) = found else { return Ok(()) };
        let context = match (context, task) {
            (Some(context), _) => context,
            // What awaits inside a native task may be of any kind, and its `cancel` Python code.
            (None, Some(task)) => match task.bind(py).cast_exact::<Task>() {
                Ok(task) => copy_of(py, &task.get().context(py))?,
                Err(_) => copy_current(py)?,
            },
            (None, None) => copy_current(py)?,
        };
        run_in(py, &context, || {
            if Self::is_exact(slf) {
                return Self::on_timeout(slf);
            }
            slf.call_method0(intern!(py, "_on_timeout")).map(drop)
        })
    }

    fn on_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (phase, task) = slf
            .get()
            .state
            .with(py, |state| (state.phase, state.task.as_ref().map(|task| task.clone_ref(py))));
        let Some(task) = task.filter(|_| phase == Phase::Entered) else {
            return Err(PyAssertionError::new_err(()));
        };
        cancel(task.bind(py))?;
        drop(slf.get().state.with(py, |state| {
            state.phase = Phase::Expiring;
            std::mem::replace(&mut state.alarm, Alarm::None)
        }));
        Ok(())
    }

    /// `__aexit__`, which does not wait, either: with the exception that leaves the block, if any.
    ///
    /// # Errors
    /// `TimeoutError` in the place of the cancellation that the deadline has caused.
    pub(super) fn exit(
        slf: &Bound<'_, Self>,
        leaving: Option<(&Bound<'_, PyType>, Option<&Bound<'_, PyAny>>)>,
    ) -> PyResult<()> {
        let py = slf.py();
        let phase = slf.get().phase(py);
        if !matches!(phase, Phase::Entered | Phase::Expiring) {
            return Err(PyAssertionError::new_err(()));
        }
        slf.get().clear_alarm(py)?;
        let next = if phase == Phase::Entered { Phase::Exited } else { Phase::Expired };
        let (task, before) = slf.get().state.with(py, |state| {
            state.phase = next;
            (state.task.as_ref().map(|task| task.clone_ref(py)), state.cancelling)
        });
        let Some(task) = task.filter(|_| phase == Phase::Expiring) else { return Ok(()) };
        // The deadline has asked for a cancellation; who asks beside it has to be heard.
        let ours_alone = uncancel(task.bind(py))? <= before;
        match leaving {
            Some((class, exception)) if ours_alone => convert(class, exception),
            _ => Ok(()),
        }
    }
}

/// The current task of `event_loop`, in which alone a time-out makes sense.
pub(super) fn task_of<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    registry::current(event_loop)?
        .ok_or_else(|| fresh::error::<PyRuntimeError>("Timeout should be used inside a task"))
}

/// Makes the cancellation that leaves the block a `TimeoutError`; from 3.13 on also the one that
/// another exception has covered.
fn convert(class: &Bound<'_, PyType>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = class.py();
    let cancelled = Standard::get(py)?.cancelled_error.bind(py);
    if class.is(cancelled) || (cfg!(Py_3_13) && class.is_subclass(cancelled)?) {
        return Err(timeout_from(py, exception));
    }
    let Some(exception) = exception.filter(|_| cfg!(Py_3_13)) else { return Ok(()) };
    insert_timeout(exception)?;
    let group = crate::modules::module(py, intern!(py, "builtins"))?
        .getattr(intern!(py, "ExceptionGroup"))?;
    if exception.is_instance(&group)? {
        for inner in exception.getattr(intern!(py, "exceptions"))?.try_iter()? {
            insert_timeout(&inner?)?;
        }
    }
    Ok(())
}

/// `TimeoutError` raised from `exception` while that was handled.
pub(super) fn timeout_from(py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyErr {
    let error = settled(py, PyTimeoutError::new_err(()));
    let Some(exception) = exception else { return error };
    let value = error.value(py);
    // SAFETY: attached; both setters steal the reference that is made for them, of an exception.
    unsafe {
        ffi::PyException_SetCause(value.as_ptr(), exception.clone().into_ptr());
        ffi::PyException_SetContext(value.as_ptr(), exception.clone().into_ptr());
    }
    error
}

/// Puts a `TimeoutError` before the first cancellation among an exception's contexts.
fn insert_timeout(exception: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = exception.py();
    let cancelled = Standard::get(py)?.cancelled_error.bind(py);
    let mut exception = exception.clone();
    loop {
        let context = exception.getattr(intern!(py, "__context__"))?;
        if context.is_none() {
            return Ok(());
        }
        if context.is_instance(cancelled)? {
            let timeout = timeout_from(py, Some(&context)).into_value(py);
            return exception.setattr(intern!(py, "__context__"), timeout);
        }
        exception = context;
    }
}

enum Passage {
    Enter,
    Exit { class: Option<Py<PyAny>>, exception: Option<Py<PyAny>> },
}

/// `__aenter__` or `__aexit__`: over in its first step.
struct Passing {
    timeout: Py<Timeout>,
    passage: Passage,
}

impl Body for Passing {
    #[inline]
    fn step(&mut self, py: Python<'_>, _incoming: Incoming<'_>) -> Resumed {
        let timeout = self.timeout.bind(py);
        let answer = match &self.passage {
            Passage::Enter => running_loop(py)
                .and_then(|event_loop| Timeout::enter(timeout, &event_loop))
                .map(|()| timeout.clone().into_any().unbind()),
            Passage::Exit { class: None, .. } => Timeout::exit(timeout, None).map(|()| py.None()),
            Passage::Exit { class: Some(class), exception } => {
                class.bind(py).cast::<PyType>().map_err(PyErr::from).and_then(|class| {
                    let exception = exception.as_ref().map(|exception| exception.bind(py));
                    Timeout::exit(timeout, Some((class, exception))).map(|()| py.None())
                })
            }
        };
        answer.map_or_else(Resumed::Raised, Resumed::Returned)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.timeout)?;
        match &self.passage {
            Passage::Enter => Ok(()),
            Passage::Exit { class, exception } => {
                visit.call(class)?;
                visit.call(exception)
            }
        }
    }
}

#[pymethods]
impl Timeout {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(when)")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: AttachedCell::new(State::new(When::Never)) }
    }

    /// Sets a deadline on the loop's clock, `None` for never; one in the past comes in the next
    /// turn.
    fn __init__(&self, when: Bound<'_, PyAny>) {
        let py = when.py();
        drop(self.state.replace(py, State::new(When::of(when))));
    }

    /// The standard class for native objects proper, so that `isinstance` holds; a subclass is
    /// its own.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if Self::is_exact(slf) {
            return Ok(Standard::get(slf.py())?.timeout.bind(slf.py()).clone());
        }
        Ok(slf.get_type().into_any())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let py = slf.py();
        let (phase, when) =
            slf.get().state.with(py, |state| (state.phase, state.when.clone_ref(py)));
        if phase != Phase::Entered {
            return Ok(Text(format!("<Timeout [{}]>", phase.name())));
        }
        let mut when = when.object(py)?.into_bound(py);
        if !when.is_none() {
            let round = crate::modules::module(py, intern!(py, "builtins"))?
                .getattr(intern!(py, "round"))?;
            when = round.call1((when, 3))?;
        }
        Ok(Text(format!("<Timeout [{}] when={}>", phase.name(), when.str()?)))
    }

    /// The deadline, or `None`.
    fn when(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.state.with(py, |state| state.when.clone_ref(py)).object(py)
    }

    /// Moves the deadline.
    fn reschedule(slf: &Bound<'_, Self>, when: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().phase(py) {
            Phase::Entered => {}
            Phase::Created => {
                return Err(fresh::error::<PyRuntimeError>("Timeout has not been entered"));
            }
            phase => {
                let message = format!("Cannot change state of {} Timeout", phase.name());
                return Err(fresh::error::<PyRuntimeError>(message));
            }
        }
        let when = When::of(when);
        let kept = when.clone_ref(py);
        drop(slf.get().state.with(py, |state| std::mem::replace(&mut state.when, kept)));
        slf.get().clear_alarm(py)?;
        match when {
            When::Never => Ok(()),
            when => Self::set_alarm(slf, &running_loop(py)?, &when),
        }
    }

    /// Whether the deadline came while the block was under way.
    fn expired(&self, py: Python<'_>) -> bool {
        matches!(self.phase(py), Phase::Expiring | Phase::Expired)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let body = Passing { timeout: slf.clone().unbind(), passage: Passage::Enter };
        Coroutine::of(slf.py(), "Timeout.__aenter__", body)
    }

    #[pyo3(signature = (exc_type, exc_val, exc_tb))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: Option<Py<PyAny>>,
        exc_val: Option<Py<PyAny>>,
        exc_tb: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let _ = exc_tb;
        let passage = Passage::Exit { class: exc_type, exception: exc_val };
        let body = Passing { timeout: slf.clone().unbind(), passage };
        Coroutine::of(slf.py(), "Timeout.__aexit__", body)
    }

    /// Whether an alarm is set, as programs ask: `None` if not. A native alarm has no handle, so
    /// what it will call stands for it.
    #[getter(_timeout_handler)]
    fn timeout_handler<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if slf.get().state.with(slf.py(), |state| matches!(state.alarm, Alarm::None)) {
            return Ok(None);
        }
        slf.getattr(intern!(slf.py(), "_on_timeout")).map(Some)
    }

    #[pyo3(name = "_on_timeout")]
    fn py_on_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::on_timeout(slf)
    }

    #[getter(_when)]
    fn when_attribute(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.when(py)
    }

    #[getter(_task)]
    fn task(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.task.as_ref().map(|task| task.clone_ref(py)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                if let When::Given(object) = &state.when {
                    visit.call(object)?;
                }
                match &state.alarm {
                    Alarm::Timer(event_loop, _) => visit.call(event_loop)?,
                    Alarm::Handle(handle) => visit.call(handle)?,
                    Alarm::None | Alarm::Queued => {}
                }
                visit.call(&state.task)?;
                visit.call(&state.context)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.replace(py, State::new(When::Never)));
    }
}

impl Deallocate for Timeout {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }
}

impl Shelved for Timeout {
    fn shelf() -> &'static Shelf {
        static SHELF: Shelf = Shelf::new();
        &SHELF
    }

    fn blank(slf: &Bound<'_, Self>) {
        let py = slf.py();
        // SAFETY: the class has a dictionary.
        if let Some(dict) = unsafe { instance_dict::take(slf.as_ptr()) } {
            dict.drop_ref(py);
        }
        slf.get().state.replace(py, State::new(When::Never)).release(py);
    }
}

/// Time-out for the block of an `async with`, `delay` seconds from now; `None` for none.
///
/// When it comes, the task inside is cancelled, and what leaves the block is `TimeoutError`.
#[pyfunction]
#[pyo3(name = "timeout", signature = (delay))]
fn timeout<'py>(py: Python<'py>, delay: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Timeout>> {
    let event_loop = running_loop(py)?;
    Timeout::create(py, When::after(&event_loop, delay)?)
}

/// `timeout()` with a point in time of the loop's clock in the place of a delay.
#[pyfunction]
#[pyo3(name = "timeout_at", signature = (when))]
fn timeout_at<'py>(py: Python<'py>, when: Bound<'py, PyAny>) -> PyResult<Bound<'py, Timeout>> {
    Timeout::create(py, When::of(when))
}

/// Makes the class complete.
pub(super) fn install(py: Python<'_>) {
    crate::slots::install_deallocate::<Timeout>(py);
}

/// Gives `module` the names.
pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Timeout>()?;
    module.add_function(wrap_pyfunction!(timeout, module)?)?;
    module.add_function(wrap_pyfunction!(timeout_at, module)?)
}
