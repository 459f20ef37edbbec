//! What monitors read of a loop's private state: how much is ready, what is scheduled, what is watched.
//!
//! Under asyncio these are ordinary attributes. Here nothing of the kind exists until somebody asks: each name is
//! a [`View`] in the class, which makes what it answers. Changing that changes nothing of the loop. A view has no
//! say once an object has an attribute of its own by that name, so derived classes may call theirs what they like.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;

use super::selector_view::SelectorView;
use super::{Loop, LoopPhase};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::no_memory;
use crate::turn::{Entry, Subject};

/// One of the names.
#[derive(Clone, Copy, Debug)]
enum View {
    Ready,
    Scheduled,
    Selector,
    Transports,
    ThreadId,
    Stopping,
    Debug,
    ClockResolution,
    ExceptionHandler,
    TaskFactory,
}

const VIEWS: [(&str, View); 10] = [
    ("_ready", View::Ready),
    ("_scheduled", View::Scheduled),
    ("_selector", View::Selector),
    ("_transports", View::Transports),
    ("_thread_id", View::ThreadId),
    ("_stopping", View::Stopping),
    ("_debug", View::Debug),
    ("_clock_resolution", View::ClockResolution),
    ("_exception_handler", View::ExceptionHandler),
    ("_task_factory", View::TaskFactory),
];

/// A view as an attribute of the class: without `__set__`, so that an object's own attribute comes first.
#[pyclass(frozen, name = "_View", module = "ouroloop")]
#[derive(Debug)]
struct Attribute(View);

made_at_the_start!(Attribute);

#[pymethods]
impl Attribute {
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = owner;
        match instance.cast::<Loop>() {
            Ok(event_loop) => slf.get().0.of(event_loop),
            Err(_) => Ok(slf.clone().into_any()),
        }
    }
}

impl View {
    fn of<'py>(self, event_loop: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        let native = event_loop.get();
        let or_none =
            |object: Option<Py<PyAny>>| Ok(object.unwrap_or_else(|| py.None()).into_bound(py));
        match self {
            Self::Ready => native.entries(py, false),
            Self::Scheduled => native.entries(py, true),
            Self::Selector => SelectorView::of(event_loop).map(Bound::into_any),
            Self::Transports => native.transports_by_descriptor(py),
            Self::ThreadId => match native.state.with(py, |state| state.phase) {
                LoopPhase::Running(thread) => Ok(fresh::size(py, thread)?.into_any()),
                LoopPhase::Stopped | LoopPhase::Closed => or_none(None),
            },
            Self::Stopping => {
                let stopping = native.state.with(py, |state| state.stopping);
                Ok(stopping.into_pyobject(py)?.to_owned().into_any())
            }
            Self::Debug => Ok(native.is_debug(py).into_pyobject(py)?.to_owned().into_any()),
            Self::ClockResolution => {
                let time = crate::interpreter::modules::module(py, intern!(py, "time"))?;
                time.call_method1(intern!(py, "get_clock_info"), (Text("monotonic"),))?
                    .getattr(intern!(py, "resolution"))
            }
            Self::ExceptionHandler => {
                or_none(native.state.with(py, |state| state.exception_handler.clone_ref(py)))
            }
            Self::TaskFactory => {
                or_none(native.state.with(py, |state| state.task_factory.clone_ref(py)))
            }
        }
    }
}

impl Loop {
    /// What each ready entry, or each timer, is about.
    fn entries<'py>(&self, py: Python<'py>, timers: bool) -> PyResult<Bound<'py, PyAny>> {
        let mut subjects = Vec::new();
        // Named first: to make their objects may run Python code.
        let named = self.engine.with(py, |engine| {
            if timers {
                subjects_of(py, engine.timers(), &mut subjects)
            } else {
                subjects_of(py, engine.ready(), &mut subjects)
            }
        });
        named.map_err(|_| no_memory(py))?;
        let mut objects = Vec::new();
        objects.try_reserve(subjects.len()).map_err(|_| no_memory(py))?;
        for subject in &subjects {
            objects.push(subject.object(py)?);
        }
        Ok(fresh::tuple(py, objects)?.into_any())
    }

    fn transports_by_descriptor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut numbers = Vec::new();
        let copied = self.transports.with(py, |transports| {
            numbers
                .try_reserve(transports.len())
                .map(|()| numbers.extend(transports.keys().copied()))
        });
        copied.map_err(|_| no_memory(py))?;
        let answer = fresh::dict(py)?;
        for number in numbers {
            if let Some(transport) = self.transport_on(py, number) {
                answer.set_item(fresh::int(py, number.into())?, transport)?;
            }
        }
        Ok(answer.into_any())
    }
}

/// What entries are about, but for cancelled ones.
fn subjects_of<'a>(
    py: Python<'_>,
    from: impl Iterator<Item = &'a Entry>,
    to: &mut Vec<Subject>,
) -> Result<(), std::collections::TryReserveError> {
    for entry in from {
        to.try_reserve(1)?;
        to.extend(entry.subject(py));
    }
    Ok(())
}

/// Puts the views into the class.
///
/// # Errors
/// `MemoryError`.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    let class = Loop::type_object(py);
    for (name, view) in VIEWS {
        class.setattr(Text(name), Bound::new(py, Attribute(view))?)?;
    }
    Ok(())
}
