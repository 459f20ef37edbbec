//! `Barrier`: tasks that go on together.
//!
//! | phase | what it is | leads to |
//! | --- | --- | --- |
//! | `Filling` | tasks come and wait | `Draining` when the last one comes |
//! | `Draining` | they leave; newcomers wait outside | `Filling` when the last one left |
//! | `Resetting` | they leave with an error; newcomers wait outside | `Filling`, likewise |
//! | `Broken` | everybody gets an error | `Filling` or `Resetting`, by `reset` |
//!
//! All of it happens under the lock of a condition, which is notified at every change.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::condition::{self, Condition};
use super::loop_bound::LoopBound;
use super::primitive::{is_plain, repr_with};
use crate::coroutine::{Coroutine, Kept, Scope};
use crate::errors::contract::says;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::kinship::class_of;
use crate::standard::{Standard, raised};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BarrierPhase {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl BarrierPhase {
    fn name(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Draining => "draining",
            Self::Resetting => "resetting",
            Self::Broken => "broken",
        }
    }

    /// Tasks are on their way out: nobody can come in.
    fn is_leaving(self) -> bool {
        matches!(self, Self::Draining | Self::Resetting)
    }
}

#[derive(Debug)]
struct State {
    condition: Option<Py<Condition>>,
    parties: Option<Py<PyAny>>,
    phase: BarrierPhase,
    /// How many tasks are inside.
    count: usize,
}

/// A native `asyncio.Barrier`.
#[pyclass(frozen, subclass, extends = LoopBound, module = "asyncio.locks")]
#[derive(Debug)]
pub(crate) struct Barrier {
    state: AttachedCell<State>,
}

drops_its_dictionary!(Barrier);

leaves_out!(Barrier, "wait");

consists_of!(Barrier, ["_cond", "_parties", "_state", "_count"]);

impl Barrier {
    fn phase(&self, py: Python<'_>) -> BarrierPhase {
        self.state.with(py, |state| state.phase)
    }

    fn condition<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Condition>> {
        self.state
            .with(py, |state| state.condition.clone_ref(py))
            .map(|condition| condition.into_bound(py))
            .ok_or_else(|| fresh::error::<PyRuntimeError>("Barrier object is not initialized."))
    }

    /// Whether a task that finds `inside` others is the last one.
    fn is_complete(&self, py: Python<'_>, inside: usize) -> PyResult<bool> {
        self.parties(py).map_or(Ok(false), |parties| parties.bind(py).eq(inside + 1))
    }

    /// A task comes in; answers its number.
    fn come_in(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| {
            state.count += 1;
            state.count - 1
        })
    }

    /// A task leaves; the last one lets those outside come in.
    fn go_out(&self, py: Python<'_>) -> PyResult<()> {
        let last = self.state.with(py, |state| {
            state.count = state.count.saturating_sub(1);
            if state.count == 0 && state.phase.is_leaving() {
                state.phase = BarrierPhase::Filling;
            }
            state.count == 0
        });
        if last { Condition::wake_all(&self.condition(py)?) } else { Ok(()) }
    }

    fn move_to(&self, py: Python<'_>, phase: BarrierPhase) -> PyResult<()> {
        self.state.with(py, |state| state.phase = phase);
        Condition::wake_all(&self.condition(py)?)
    }

    /// A coroutine that does `change` under the lock.
    fn changing<'py>(
        slf: &Bound<'py, Self>,
        name: &'static str,
        change: fn(&Self, Python<'_>) -> PyResult<()>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::new(slf.py(), name, |scope| {
            let barrier = scope.keep(slf);
            async move {
                let condition = keep_condition(&scope, barrier)?;
                condition::acquire(&scope, condition).await?;
                let changed = Python::attach(|py| change(scope.get(py, barrier).get(), py));
                condition::release(&scope, condition)?;
                changed?;
                Ok(crate::coroutine::nothing())
            }
        })
    }

    fn waiting<'py>(slf: &Bound<'py, Self>, name: &'static str) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::new(slf.py(), name, |scope| {
            let barrier = scope.keep(slf);
            wait(scope, barrier)
        })
    }
}

fn broken(py: Python<'_>, message: &str) -> PyErr {
    match Standard::get(py)
        .and_then(|standard| standard.broken_barrier_error.bind(py).call1((Text(message),)))
    {
        Ok(error) => raised(error),
        Err(error) => error,
    }
}

fn keep_condition(scope: &Scope, barrier: Kept<Barrier>) -> PyResult<Kept<Condition>> {
    Python::attach(|py| Ok(scope.keep(&scope.get(py, barrier).get().condition(py)?)))
}

async fn wait(scope: Scope, barrier: Kept<Barrier>) -> PyResult<Py<PyAny>> {
    let condition = keep_condition(&scope, barrier)?;
    condition::acquire(&scope, condition).await?;
    let answer = wait_inside(&scope, barrier, condition).await;
    condition::release(&scope, condition)?;
    answer
}

/// Waits as long as the barrier is in a phase that `blocks`; answers the phase it is in then.
async fn wait_while(
    scope: &Scope,
    barrier: Kept<Barrier>,
    condition: Kept<Condition>,
    blocks: fn(BarrierPhase) -> bool,
) -> PyResult<BarrierPhase> {
    loop {
        let phase = Python::attach(|py| scope.get(py, barrier).get().phase(py));
        if !blocks(phase) {
            return Ok(phase);
        }
        condition::wait(scope, condition).await?;
    }
}

/// The wait with the condition's lock taken.
async fn wait_inside(
    scope: &Scope,
    barrier: Kept<Barrier>,
    condition: Kept<Condition>,
) -> PyResult<Py<PyAny>> {
    let phase = wait_while(scope, barrier, condition, BarrierPhase::is_leaving).await?;
    if phase == BarrierPhase::Broken {
        return Err(Python::attach(|py| broken(py, "Barrier aborted")));
    }
    let index = Python::attach(|py| scope.get(py, barrier).get().come_in(py));
    let answer = wait_for_the_last(scope, barrier, condition, index).await;
    Python::attach(|py| {
        scope.get(py, barrier).get().go_out(py)?;
        answer?;
        Ok(index.into_pyobject(py)?.into_any().unbind())
    })
}

async fn wait_for_the_last(
    scope: &Scope,
    barrier: Kept<Barrier>,
    condition: Kept<Condition>,
    index: usize,
) -> PyResult<()> {
    let complete = Python::attach(|py| -> PyResult<_> {
        let barrier = scope.get(py, barrier);
        let complete = barrier.get().is_complete(py, index)?;
        if complete {
            barrier.get().move_to(py, BarrierPhase::Draining)?;
        }
        Ok(complete)
    })?;
    if complete {
        return Ok(());
    }
    let phase =
        wait_while(scope, barrier, condition, |phase| phase == BarrierPhase::Filling).await?;
    if matches!(phase, BarrierPhase::Broken | BarrierPhase::Resetting) {
        return Err(Python::attach(|py| broken(py, "Abort or reset of barrier")));
    }
    Ok(())
}

#[pymethods]
impl Barrier {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(parties)")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        let state =
            State { condition: None, parties: None, phase: BarrierPhase::Filling, count: 0 };
        let barrier = Self { state: AttachedCell::new(state) };
        PyClassInitializer::from(LoopBound::new()).add_subclass(barrier)
    }

    fn __init__(slf: &Bound<'_, Self>, parties: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        if parties.lt(1)? {
            let standard = Standard::get(py)?.barrier.bind(py).getattr(intern!(py, "__init__"))?;
            let corrected = "parties must be >= 1";
            let text = if says(&standard, corrected)? { corrected } else { "parties must be > 0" };
            return Err(fresh::error::<PyValueError>(text));
        }
        let state = State {
            condition: Some(Condition::create(py)?.unbind()),
            parties: Some(parties.clone().unbind()),
            phase: BarrierPhase::Filling,
            count: 0,
        };
        LoopBound::begin(slf.as_super());
        slf.get().state.set(py, state);
        Ok(())
    }

    /// The standard class for native objects proper, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.barrier)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let py = slf.py();
        let this = slf.get();
        let mut extra = this.phase(py).name().to_owned();
        if !this.broken(py)
            && let Some(parties) = this.parties(py)
        {
            let parties = parties.bind(py).str()?;
            extra = format!("{extra}, waiters:{}/{parties}", this.n_waiting(py));
        }
        repr_with(slf.as_any(), &extra)
    }

    /// How many tasks go on together.
    #[getter]
    fn parties(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.parties.clone_ref(py))
    }

    /// How many tasks wait inside.
    #[getter]
    fn n_waiting(&self, py: Python<'_>) -> usize {
        self.state
            .with(py, |state| if state.phase == BarrierPhase::Filling { state.count } else { 0 })
    }

    /// Whether it was aborted.
    #[getter]
    fn broken(&self, py: Python<'_>) -> bool {
        self.phase(py) == BarrierPhase::Broken
    }

    #[getter(_parties)]
    fn raw_parties(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.parties(py)
    }

    #[setter(_parties)]
    fn set_parties(&self, parties: &Bound<'_, PyAny>) {
        let py = parties.py();
        let parties = parties.clone().unbind();
        drop(self.state.with(py, |state| state.parties.replace(parties)));
    }

    #[setter(_count)]
    fn set_count(&self, py: Python<'_>, count: usize) {
        self.state.with(py, |state| state.count = count);
    }

    #[setter(_cond)]
    fn set_condition(&self, condition: &Bound<'_, Condition>) {
        let py = condition.py();
        let condition = condition.clone().unbind();
        drop(self.state.with(py, |state| state.condition.replace(condition)));
    }

    /// One of asyncio's names of phases.
    #[setter(_state)]
    fn set_phase(&self, phase: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = phase.getattr(intern!(phase.py(), "value"))?.extract::<String>()?;
        let phases = [
            BarrierPhase::Filling,
            BarrierPhase::Draining,
            BarrierPhase::Resetting,
            BarrierPhase::Broken,
        ];
        let known = phases.into_iter().find(|phase| phase.name() == name);
        let unknown = || fresh::error::<PyValueError>(format!("no phase of a barrier: {name}"));
        let known = known.ok_or_else(unknown)?;
        self.state.with(phase.py(), |state| state.phase = known);
        Ok(())
    }

    #[getter(_count)]
    fn raw_count(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.count)
    }

    #[getter(_cond)]
    fn raw_condition<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Condition>> {
        self.condition(py)
    }

    #[getter(_state)]
    fn raw_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let states = crate::interpreter::modules::module(py, intern!(py, "asyncio.locks"))?
            .getattr(Text("_BarrierState"))?;
        states.call1((Text(self.phase(py).name()),))
    }

    /// Waits until as many tasks wait as there are parties; answers this task's number.
    #[pyo3(name = "wait")]
    fn py_wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Self::waiting(slf, "Barrier.wait")
    }

    /// Makes the barrier as new; whoever waits inside gets a `BrokenBarrierError`.
    fn reset<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Self::changing(slf, "Barrier.reset", |this, py| {
            let inside = this.state.with(py, |state| state.count > 0);
            this.move_to(py, if inside { BarrierPhase::Resetting } else { BarrierPhase::Filling })
        })
    }

    /// Breaks the barrier: whoever waits or comes gets a `BrokenBarrierError`.
    fn abort<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Self::changing(slf, "Barrier.abort", |this, py| this.move_to(py, BarrierPhase::Broken))
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        const NAME: &str = "Barrier.__aenter__";
        if is_plain(slf) {
            return Self::waiting(slf, NAME);
        }
        Coroutine::new(slf.py(), NAME, |scope| {
            let barrier = scope.keep(slf);
            async move {
                let waiting = Python::attach(|py| {
                    let barrier = scope.get(py, barrier);
                    barrier.call_method0(intern!(py, "wait")).map(Bound::unbind)
                })?;
                scope.wait(waiting).await
            }
        })
    }

    #[pyo3(signature = (*args))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let _ = args;
        Coroutine::new(slf.py(), "Barrier.__aexit__", |_| async { Ok(crate::coroutine::nothing()) })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                visit.call(&state.condition)?;
                visit.call(&state.parties)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.with(py, |state| (state.condition.take(), state.parties.take())));
    }
}
