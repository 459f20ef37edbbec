//! The Python face of `Timeout`, and the functions that make one.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::object::{Alarm, State, Timeout, TimeoutPhase};
use super::when::When;
use crate::coroutine::{Body, Coroutine, Incoming};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::copying;
use crate::native::live_dict::Native;
use crate::native::slots::Resumed;
use crate::standard::Standard;
use crate::waiting::running_loop;

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

/// What a timeout consists of, under asyncio's names.
const NATIVE: Native = Native { names: &["_state", "_timeout_handler", "_task", "_when"], restore };

/// Makes it one that was not entered.
fn restore(timeout: &Bound<'_, PyAny>, state: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = timeout.py();
    let when = state.get_item(Text("_when"))?.unwrap_or_else(|| py.None().into_bound(py));
    let own = state.copy()?;
    for name in NATIVE.names {
        if own.contains(Text(name))? {
            own.del_item(Text(name))?;
        }
    }
    let fresh = State::new(When::of(when));
    drop(timeout.cast::<Timeout>()?.get().state.replace(py, fresh));
    copying::restore(timeout, &[], &own)
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
        if phase != TimeoutPhase::Entered {
            return Ok(Text(format!("<Timeout [{}]>", phase.name())));
        }
        let mut when = when.object(py)?.into_bound(py);
        if !when.is_none() {
            let round = crate::interpreter::modules::module(py, intern!(py, "builtins"))?
                .getattr(intern!(py, "round"))?;
            when = round.call1((when, 3))?;
        }
        Ok(Text(fresh::text(format_args!("<Timeout [{}] when={}>", phase.name(), when.str()?))?))
    }

    /// The deadline, or `None`.
    fn when(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.state.with(py, |state| state.when.clone_ref(py)).object(py)
    }

    /// Moves the deadline.
    fn reschedule(slf: &Bound<'_, Self>, when: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().phase(py) {
            TimeoutPhase::Entered => {}
            TimeoutPhase::Created => {
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
        matches!(self.phase(py), TimeoutPhase::Expiring | TimeoutPhase::Expired)
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
        self.state.with(py, |state| state.task.clone_ref(py))
    }

    #[getter(_state)]
    fn raw_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let states = crate::interpreter::modules::module(py, intern!(py, "asyncio.timeouts"))?
            .getattr(Text("_State"))?;
        states.call1((Text(self.phase(py).name()),))
    }

    fn __reduce_ex__<'py>(
        slf: &Bound<'py, Self>,
        protocol: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let _ = protocol;
        copying::reduce(slf.as_any())
    }

    /// Of one that was not entered, which has no task yet.
    fn __getstate__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        if slf.get().phase(slf.py()) != TimeoutPhase::Created {
            return Err(copying::in_use("Task"));
        }
        copying::state(slf.as_any(), &NATIVE)
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: &Bound<'_, PyDict>) -> PyResult<()> {
        restore(slf.as_any(), state)
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

/// Time-out for the block of an `async with`, `delay` seconds from now; `None` for none.
///
/// When it comes, the task inside is cancelled, and what leaves the block is `TimeoutError`.
#[pyfunction]
#[pyo3(name = "timeout", signature = (delay))]
pub(super) fn timeout<'py>(
    py: Python<'py>,
    delay: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, Timeout>> {
    let event_loop = running_loop(py)?;
    Timeout::create(py, When::after(&event_loop, delay)?)
}

/// `timeout()` with a point in time of the loop's clock in the place of a delay.
#[pyfunction]
#[pyo3(name = "timeout_at", signature = (when))]
pub(super) fn timeout_at<'py>(
    py: Python<'py>,
    when: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, Timeout>> {
    Timeout::create(py, When::of(when))
}
