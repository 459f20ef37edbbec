//! What a future keeps.

use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::links::Links;
use crate::interpreter::references::CloneRef as _;
use crate::turn::Loop;

/// Where a future stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FuturePhase {
    Pending,
    Cancelled,
    Finished,
}

impl FuturePhase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Cancelled => "CANCELLED",
            Self::Finished => "FINISHED",
        }
    }
}

/// The loop on which a future's callbacks run.
#[derive(Debug)]
pub(crate) enum Home {
    /// `__init__` has not run.
    None,
    /// Our own loop: callbacks go straight into its ready queue.
    Native(Py<Loop>),
    /// Any other loop: callbacks go through its `call_soon`.
    Foreign(Py<PyAny>),
}

impl Home {
    pub(crate) fn of(event_loop: &Bound<'_, PyAny>) -> Self {
        match event_loop.cast::<Loop>() {
            Ok(native) => Self::Native(native.clone().unbind()),
            Err(_) => Self::Foreign(event_loop.clone().unbind()),
        }
    }

    pub(crate) fn object(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::None => None,
            Self::Native(native) => Some(native.as_any()),
            Self::Foreign(foreign) => Some(foreign),
        }
    }
}

/// How a future ends.
#[derive(Debug)]
pub(crate) enum Outcome {
    Result(Py<PyAny>),
    Exception(Py<PyAny>),
    Cancelled { message: Option<Py<PyAny>> },
}

impl Outcome {
    fn object(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Result(object) | Self::Exception(object) => Some(object),
            Self::Cancelled { message } => message.as_ref(),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.object())
    }
}

/// What most futures never have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) exception_traceback: Option<Py<PyAny>>,
    pub(crate) cancel_message: Option<Py<PyAny>>,
    pub(crate) cancelled_error: Option<Py<PyAny>>,
    pub(crate) source_traceback: Option<Py<PyAny>>,
    /// Who waits for it by the word of `future_add_to_awaited_by`: a set.
    #[cfg(Py_3_14)]
    pub(crate) awaited_by: Option<Py<PyAny>>,
}

/// What stood where an outcome was written.
type Displaced = [Option<Py<PyAny>>; 2];

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) home: Home,
    pub(crate) phase: FuturePhase,
    /// Somebody's `yield from` is under way: the `_asyncio_future_blocking` of the protocol.
    pub(crate) blocking: bool,
    /// The exception was not looked at yet.
    pub(crate) log_traceback: bool,
    pub(crate) result: Option<Py<PyAny>>,
    pub(crate) exception: Option<Py<PyAny>>,
    pub(crate) links: Links,
    rare: Option<Box<Rare>>,
}

impl State {
    pub(crate) fn new(home: Home) -> Self {
        Self {
            home,
            phase: FuturePhase::Pending,
            blocking: false,
            log_traceback: false,
            result: None,
            exception: None,
            links: Links::None,
            rare: None,
        }
    }

    /// A new reference to something rare.
    pub(crate) fn rare(
        &self,
        py: Python<'_>,
        field: impl FnOnce(&Rare) -> &Option<Py<PyAny>>,
    ) -> Option<Py<PyAny>> {
        self.rare.as_ref().and_then(|rare| field(rare).clone_ref(py))
    }

    /// Exchanges something rare.
    #[must_use = "what was there is to be dropped once the state is not lent any more"]
    pub(crate) fn set_rare(
        &mut self,
        field: impl FnOnce(&mut Rare) -> &mut Option<Py<PyAny>>,
        value: Option<Py<PyAny>>,
    ) -> Option<Py<PyAny>> {
        match (&mut self.rare, value) {
            (None, None) => None,
            (rare, value) => std::mem::replace(field(rare.get_or_insert_default()), value),
        }
    }

    /// Ends a pending future: its waiters, and what else is to be dropped once the state is not lent
    /// any more.
    ///
    /// # Errors
    /// The outcome, if the future has ended before.
    #[inline]
    pub(super) fn end(
        &mut self,
        py: Python<'_>,
        outcome: Outcome,
    ) -> Result<(Links, Displaced), Outcome> {
        if self.phase != FuturePhase::Pending {
            return Err(outcome);
        }
        let displaced = match outcome {
            Outcome::Result(result) => {
                self.phase = FuturePhase::Finished;
                [self.result.replace(result), None]
            }
            Outcome::Exception(exception) => {
                // SAFETY: attached, and whoever ends a future checked that this is an exception.
                let traceback = unsafe {
                    let traceback = ffi::PyException_GetTraceback(exception.as_ptr());
                    Bound::from_owned_ptr_or_opt(py, traceback)
                };
                self.phase = FuturePhase::Finished;
                self.log_traceback = true;
                let traceback = traceback.map(Bound::unbind);
                [
                    self.set_rare(|rare| &mut rare.exception_traceback, traceback),
                    self.exception.replace(exception),
                ]
            }
            Outcome::Cancelled { message } => {
                self.phase = FuturePhase::Cancelled;
                [self.set_rare(|rare| &mut rare.cancel_message, message), None]
            }
        };
        Ok((std::mem::take(&mut self.links), displaced))
    }

    /// Takes every reference out, for `tp_clear`; what the future was stays.
    pub(crate) fn clear(&mut self) -> Self {
        let Self { phase, blocking, log_traceback, .. } = *self;
        std::mem::replace(self, Self { phase, blocking, log_traceback, ..Self::new(Home::None) })
    }

    /// Drops every reference at once, as [`crate::native::shelf`] needs it.
    #[inline]
    pub(crate) fn release(self, py: Python<'_>) {
        match self.home {
            Home::None => {}
            Home::Native(native) => native.drop_ref(py),
            Home::Foreign(foreign) => foreign.drop_ref(py),
        }
        match self.links {
            Links::None => {}
            links => links.into_iter().for_each(|link| link.release(py)),
        }
        if let Some(result) = self.result {
            result.drop_ref(py);
        }
        if let Some(exception) = self.exception {
            exception.drop_ref(py);
        }
        if let Some(rare) = self.rare {
            rare.release(py);
        }
    }

    /// Shows the garbage collector what the future keeps.
    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.home.object())?;
        visit.call(&self.result)?;
        visit.call(&self.exception)?;
        if let Some(rare) = &self.rare {
            for reference in [
                &rare.exception_traceback,
                &rare.cancel_message,
                &rare.cancelled_error,
                &rare.source_traceback,
                #[cfg(Py_3_14)]
                &rare.awaited_by,
            ] {
                visit.call(reference)?;
            }
        }
        self.links.iter().try_for_each(|link| link.visit(visit))
    }
}

impl Rare {
    #[cold]
    fn release(self, py: Python<'_>) {
        [
            self.exception_traceback,
            self.cancel_message,
            self.cancelled_error,
            self.source_traceback,
            #[cfg(Py_3_14)]
            self.awaited_by,
        ]
        .into_iter()
        .flatten()
        .for_each(|reference| reference.drop_ref(py));
    }
}
