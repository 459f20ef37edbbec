//! A time-out: its phases, and its alarm, which is an entry of the loop's queue or among its timers.

use ouroloop::timers::TimerId;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::conversion::convert;
use super::when::When;
use crate::combine::tasks::{cancel, cancelling, uncancel};
use crate::context::{copy_current, copy_of, run_in};
use crate::handle::report_call;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict;
use crate::native::shelf::{self, Shelved};
use crate::native::slots::Deallocate;
use crate::task::{Task, registry};
use crate::turn::{KindOf, Loop, Subject, Work};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeoutPhase {
    Created,
    Entered,
    Expiring,
    Expired,
    Exited,
}

impl TimeoutPhase {
    /// asyncio's word for it.
    pub(super) fn name(self) -> &'static str {
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
pub(super) enum Alarm {
    None,
    /// An entry among a native loop's timers.
    Timer(Py<Loop>, TimerId),
    /// An entry in a native loop's ready queue.
    Queued,
    /// A handle of another loop.
    Handle(Py<PyAny>),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: TimeoutPhase,
    pub(super) when: When,
    pub(super) task: Option<Py<PyAny>>,
    /// How many requests to cancel the task there were on entry.
    pub(super) cancelling: u32,
    pub(super) alarm: Alarm,
    /// The number of the alarm that is set, or was set last.
    pub(super) number: u32,
    /// Where a task that is not native is cancelled in.
    pub(super) context: Option<Py<PyAny>>,
}

impl State {
    pub(super) fn new(when: When) -> Self {
        Self {
            phase: TimeoutPhase::Created,
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
    pub(super) state: AttachedCell<State>,
}

impl Timeout {
    pub(in crate::combine) fn create(py: Python<'_>, when: When) -> PyResult<Bound<'_, Self>> {
        let Some(timeout) = shelf::take::<Self>(py) else {
            return Bound::new(py, Self { state: AttachedCell::new(State::new(when)) });
        };
        drop(timeout.get().state.with(py, |state| std::mem::replace(&mut state.when, when)));
        shelf::track(&timeout);
        Ok(timeout)
    }

    pub(super) fn phase(&self, py: Python<'_>) -> TimeoutPhase {
        self.state.with(py, |state| state.phase)
    }

    pub(super) fn is_exact(slf: &Bound<'_, Self>) -> bool {
        slf.as_any().is_exact_instance_of::<Self>()
    }

    /// `__aenter__` on the running loop, which does not wait.
    ///
    /// # Errors
    /// `RuntimeError` on a second entry and outside of a task.
    pub(in crate::combine) fn enter(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        if slf.get().phase(py) != TimeoutPhase::Created {
            return Err(fresh::error::<PyRuntimeError>("Timeout has already been entered"));
        }
        let task = task_of(event_loop)?;
        let requests = cancelling(&task)?;
        let (when, before) = slf.get().state.with(py, |state| {
            state.phase = TimeoutPhase::Entered;
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
    pub(super) fn set_alarm(
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
        let entry = Deadline(slf.clone().unbind(), number).entry();
        let alarm = if due {
            this.check_schedulable(py)?;
            this.reserve(py, 1)?;
            this.push(py, entry);
            Alarm::Queued
        } else {
            let timer = this.schedule_at(py, when.seconds(py)?, entry)?;
            Alarm::Timer(native.clone().unbind(), timer)
        };
        drop(slf.get().state.with(py, |state| {
            let context = std::mem::replace(&mut state.context, context);
            (std::mem::replace(&mut state.alarm, alarm), context)
        }));
        Ok(())
    }

    /// Cancels the alarm, if one is set.
    pub(super) fn clear_alarm(&self, py: Python<'_>) -> PyResult<()> {
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
    fn ring(slf: &Bound<'_, Self>, number: u32) -> PyResult<()> {
        let py = slf.py();
        let found = slf.get().state.with(py, |state| {
            (state.number == number).then(|| {
                let reference = |object: &Option<Py<PyAny>>| object.clone_ref(py);
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

    pub(super) fn on_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (phase, task) =
            slf.get().state.with(py, |state| (state.phase, state.task.clone_ref(py)));
        let Some(task) = task.filter(|_| phase == TimeoutPhase::Entered) else {
            return Err(PyAssertionError::new_err(()));
        };
        cancel(task.bind(py))?;
        drop(slf.get().state.with(py, |state| {
            state.phase = TimeoutPhase::Expiring;
            std::mem::replace(&mut state.alarm, Alarm::None)
        }));
        Ok(())
    }

    /// `__aexit__`, which does not wait, either: with the exception that leaves the block, if any.
    ///
    /// # Errors
    /// `TimeoutError` in the place of the cancellation that the deadline has caused.
    pub(in crate::combine) fn exit(
        slf: &Bound<'_, Self>,
        leaving: Option<(&Bound<'_, PyType>, Option<&Bound<'_, PyAny>>)>,
    ) -> PyResult<()> {
        let py = slf.py();
        let phase = slf.get().phase(py);
        if !matches!(phase, TimeoutPhase::Entered | TimeoutPhase::Expiring) {
            return Err(PyAssertionError::new_err(()));
        }
        slf.get().clear_alarm(py)?;
        let next = if phase == TimeoutPhase::Entered {
            TimeoutPhase::Exited
        } else {
            TimeoutPhase::Expired
        };
        let (task, before) = slf.get().state.with(py, |state| {
            state.phase = next;
            (state.task.clone_ref(py), state.cancelling)
        });
        let Some(task) = task.filter(|_| phase == TimeoutPhase::Expiring) else { return Ok(()) };
        // The deadline has asked for a cancellation; who asks beside it has to be heard.
        let ours_alone = uncancel(task.bind(py))? <= before;
        match leaving {
            Some((class, exception)) if ours_alone => convert(class, exception),
            _ => Ok(()),
        }
    }
}

/// The current task of `event_loop`, in which alone a time-out makes sense.
pub(in crate::combine) fn task_of<'py>(
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
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

/// A time-out's alarm of this number.
#[derive(Debug)]
struct Deadline(Py<Timeout>, u32);

impl Work for Deadline {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Deadline> = KindOf::new("timeout.deadline");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let timeout = self.0.bind(event_loop.py());
        Timeout::ring(timeout, self.1).or_else(|error| report_ring(event_loop, timeout, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

#[cold]
fn report_ring(
    event_loop: &Bound<'_, Loop>,
    timeout: &Bound<'_, Timeout>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let callback = timeout.getattr(Text("_on_timeout"))?.unbind();
    report_call(event_loop, callback, None, copy_current(py)?, error)
}
