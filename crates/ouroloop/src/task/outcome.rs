//! A task's result, or why it has none.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::Waker;

/// Why a task has no result.
pub enum JoinError {
    /// It was aborted, or its loop ended before it did.
    Aborted,
    /// It panicked; this is what it panicked with, for [`std::panic::resume_unwind`].
    Panicked(Box<dyn Any + Send>),
}

impl JoinError {
    fn message(&self) -> Option<&str> {
        let Self::Panicked(payload) = self else { return None };
        let text = payload.downcast_ref::<&str>().copied();
        text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted => f.write_str("Aborted"),
            Self::Panicked(_) => {
                f.debug_tuple("Panicked").field(&self.message().unwrap_or("..")).finish()
            }
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.message()) {
            (Self::Aborted, _) => f.write_str("the task was aborted"),
            (Self::Panicked(_), None) => f.write_str("the task panicked"),
            (Self::Panicked(_), Some(message)) => write!(f, "the task panicked: {message}"),
        }
    }
}

impl std::error::Error for JoinError {}

/// Where a task leaves its result.
pub(super) struct Outcome<T> {
    pub(super) state: RefCell<State<T>>,
}

pub(super) enum State<T> {
    Pending(Option<Waker>),
    Finished(Result<T, JoinError>),
    Taken,
}

impl<T> Outcome<T> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { state: RefCell::new(State::Pending(None)) })
    }

    pub(super) fn finish(&self, result: Result<T, JoinError>) {
        let before = self.state.replace(State::Finished(result));
        if let State::Pending(Some(joiner)) = before {
            joiner.wake();
        }
    }
}

/// The side of an [`Outcome`] that does not depend on the result's type.
pub(super) trait Fail {
    /// The task ends without a result.
    fn fail(&self, error: JoinError);
}

impl<T> Fail for Outcome<T> {
    fn fail(&self, error: JoinError) {
        self.finish(Err(error));
    }
}
