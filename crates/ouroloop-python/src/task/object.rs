//! What a task is.

use std::num::NonZeroU32;

use pyo3::prelude::*;

use crate::future::Future;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;

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
    pub(super) registered: Option<Place>,
}

/// A native `asyncio.Task`.
#[pyclass(frozen, subclass, extends = Future, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) state: AttachedCell<State>,
}

impl State {
    pub(super) fn empty() -> Self {
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

    /// Drops every reference at once, as `shelf` needs it.
    pub(super) fn release(self, py: Python<'_>) {
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

/// A place in the vector of live tasks, in four bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(NonZeroU32);

impl Place {
    /// # Panics
    /// For more than 4,294,967,294 live tasks, whose coroutines need more memory than there is.
    pub(super) fn of(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("fewer live tasks than 2^32"))
    }

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Task {
    pub(super) fn empty() -> Self {
        Self { state: AttachedCell::new(State::empty()) }
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

    pub(super) fn set_name(&self, py: Python<'_>, name: Name) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.name, name)));
    }

    /// The context in which the coroutine runs.
    pub(crate) fn context(&self, py: Python<'_>) -> Py<PyAny> {
        let context = self.state.with(py, |state| state.context.clone_ref(py));
        context.unwrap_or_else(|| py.None())
    }
}
