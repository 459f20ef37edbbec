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

mod class;
mod conversion;
mod when;

use ouroloop::timers::TimerId;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::tasks::{cancel, cancelling, uncancel};
use crate::callback::Callback;
use crate::context::{copy_current, copy_of, run_in};
use crate::event_loop::Loop;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict;
use crate::native::shelf::{self, Shelved};
use crate::native::slots::Deallocate;
use crate::task::{Task, registry};

use conversion::convert;
pub(super) use conversion::timeout_from;
pub(super) use when::When;

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
        let Some(native) = Loop::with_own_timers(event_loop) else {
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
        let due = when.has_come(py, Loop::time(native)?)?;
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
            (state.number == number)
                .then(|| (state.context.clone_ref(py), state.task.clone_ref(py)))
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
        let (phase, task) =
            slf.get().state.with(py, |state| (state.phase, state.task.clone_ref(py)));
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
            (state.task.clone_ref(py), state.cancelling)
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

impl Deallocate for Timeout {
    keeps_original!();

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }
}

impl Shelved for Timeout {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        let py = slf.py();
        // SAFETY: the class has a dictionary.
        unsafe { instance_dict::strip(slf) };
        slf.get().state.replace(py, State::new(When::Never)).release(py);
    }
}

/// Makes the class complete.
pub(super) fn install(py: Python<'_>) {
    crate::native::slots::install_deallocate::<Timeout>(py);
}

/// Gives `module` the names.
pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Timeout>()?;
    module.add_function(wrap_pyfunction!(class::timeout, module)?)?;
    module.add_function(wrap_pyfunction!(class::timeout_at, module)?)
}
