//! Who is told when a future ends.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::listen::DoneListener;
use crate::interpreter::room::{Grow, boxed};

/// One who waits for a future.
#[derive(Debug)]
pub(crate) enum Link {
    /// A callback, with the context to run it in.
    Call { callback: Py<PyAny>, context: Py<PyAny> },
    /// A native object, such as a task that awaits it.
    Listener(DoneListener),
}

impl Link {
    /// The link as the public protocol has it: a callable and its context.
    pub(crate) fn into_call(self, py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        match self {
            Self::Call { callback, context } => Ok((callback, context)),
            Self::Listener(listener) => {
                Ok((listener.callable(py)?.unbind(), listener.context(py)?))
            }
        }
    }

    /// Drops the references at once.
    pub(crate) fn release(self, py: Python<'_>) {
        match self {
            Self::Call { callback, context } => {
                callback.drop_ref(py);
                context.drop_ref(py);
            }
            Self::Listener(listener) => listener.release(py),
        }
    }

    /// A second reference to the same waiter.
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Call { callback, context } => {
                Self::Call { callback: callback.clone_ref(py), context: context.clone_ref(py) }
            }
            Self::Listener(listener) => Self::Listener(listener.clone_ref(py)),
        }
    }

    /// Whether `self`, once made from `other` by [`Link::clone_ref`], is still the same waiter.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Call { callback, .. }, Self::Call { callback: other, .. }) => callback.is(other),
            (Self::Listener(listener), Self::Listener(other)) => listener.is(other),
            _ => false,
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Call { callback, context } => {
                visit.call(callback)?;
                visit.call(context)
            }
            Self::Listener(listener) => listener.visit(visit),
        }
    }
}

/// Waiters in the order in which they came; nearly always none or one.
#[derive(Debug, Default)]
pub(crate) enum Links {
    #[default]
    None,
    One(Link),
    /// Boxed, so that the usual cases are small.
    #[expect(clippy::box_collection, reason = "a vector is larger than the other cases")]
    Many(Box<Vec<Link>>),
}

impl Links {
    /// Puts a waiter behind all others; without memory it comes back, and nothing has changed.
    #[inline]
    pub(crate) fn push(&mut self, link: Link) -> Result<(), Link> {
        match self {
            Self::None => *self = Self::One(link),
            Self::One(_) => return self.push_second(link),
            Self::Many(links) => return links.grow(link),
        }
        Ok(())
    }

    #[cold]
    fn push_second(&mut self, link: Link) -> Result<(), Link> {
        let mut links = Vec::new();
        if links.try_reserve(2).is_err() {
            return Err(link);
        }
        let Ok(mut links) = boxed(links) else { return Err(link) };
        links.extend(std::mem::take(self));
        links.push(link);
        *self = Self::Many(links);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().len()
    }

    /// Keeps those of which `keep` says so; answers the others, for which there is room in `gone`.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Link) -> bool, gone: &mut Vec<Link>) {
        match self {
            Self::One(link) if !keep(link) => gone.extend(std::mem::take(self)),
            Self::None | Self::One(_) => {}
            Self::Many(links) => gone.extend(links.extract_if(.., |link| !keep(link))),
        }
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Link> {
        match self {
            Self::None => [].iter(),
            Self::One(link) => std::slice::from_ref(link).iter(),
            Self::Many(links) => links.iter(),
        }
    }

    /// Takes a listener out, should it be there.
    pub(crate) fn take_listener(&mut self, listener: &DoneListener) -> Option<Link> {
        let is_it = |link: &Link| matches!(link, Link::Listener(other) if other.is(listener));
        match self {
            Self::One(link) if is_it(link) => std::mem::take(self).into_iter().next(),
            Self::None | Self::One(_) => None,
            Self::Many(links) => {
                let place = links.iter().position(is_it)?;
                Some(links.remove(place))
            }
        }
    }
}

impl IntoIterator for Links {
    type Item = Link;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Link>, std::vec::IntoIter<Link>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Self::None => (None, Vec::new()),
            Self::One(link) => (Some(link), Vec::new()),
            Self::Many(links) => (None, *links),
        };
        one.into_iter().chain(many)
    }
}
