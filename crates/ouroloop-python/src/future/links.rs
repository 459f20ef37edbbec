//! Who is told when a future ends.

use pyo3::prelude::*;

use crate::task::{Task, wakeup_method};

/// One who waits for a future.
#[derive(Debug)]
pub(crate) enum Link {
    /// A native task that awaits it.
    Wakeup(Py<Task>),
    /// A callback, with the context to run it in.
    Call { callback: Py<PyAny>, context: Py<PyAny> },
}

impl Link {
    /// The link as the public protocol has it: a callable and its context.
    pub(crate) fn into_call(self, py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        match self {
            Self::Call { callback, context } => Ok((callback, context)),
            Self::Wakeup(task) => {
                let context = task.bind(py).get().context(py);
                Ok((wakeup_method(task.bind(py))?.unbind(), context))
            }
        }
    }

    /// Drops the references at once.
    pub(crate) fn release(self, py: Python<'_>) {
        match self {
            Self::Wakeup(task) => task.drop_ref(py),
            Self::Call { callback, context } => {
                callback.drop_ref(py);
                context.drop_ref(py);
            }
        }
    }

    /// A second reference to the same waiter.
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Wakeup(task) => Self::Wakeup(task.clone_ref(py)),
            Self::Call { callback, context } => {
                Self::Call { callback: callback.clone_ref(py), context: context.clone_ref(py) }
            }
        }
    }
}

/// Waiters in the order in which they came; nearly always none or one.
#[derive(Debug, Default)]
pub(crate) enum Links {
    #[default]
    None,
    One(Link),
    Many(Vec<Link>),
}

impl Links {
    pub(crate) fn push(&mut self, link: Link) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(link),
            Self::One(first) => Self::Many(vec![first, link]),
            Self::Many(mut links) => {
                links.push(link);
                Self::Many(links)
            }
        };
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Link> {
        match self {
            Self::None => [].iter(),
            Self::One(link) => std::slice::from_ref(link).iter(),
            Self::Many(links) => links.iter(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl FromIterator<Link> for Links {
    fn from_iter<I: IntoIterator<Item = Link>>(links: I) -> Self {
        let mut collected = Self::None;
        links.into_iter().for_each(|link| collected.push(link));
        collected
    }
}

impl IntoIterator for Links {
    type Item = Link;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Link>, std::vec::IntoIter<Link>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Self::None => (None, Vec::new()),
            Self::One(link) => (Some(link), Vec::new()),
            Self::Many(links) => (None, links),
        };
        one.into_iter().chain(many)
    }
}
