//! What the loop tells transports and listeners, as entries of its queue.
//!
//! A [`Notice`] carries what happens with it; [`notices!`] makes a kind of its own for each thing that happens. Errors
//! that the object leaves behind are told to the loop's exception handler, as of this object.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::{PyClass, pyclass::boolean_struct::True};

use crate::handle::confine;
use crate::turn::{KindOf, Loop, Subject, Watched, Work};

/// A class whose objects are told of different things.
pub(crate) trait Notified: PyClass<Frozen = True> + Sync {
    type Happening: Copy + Send + 'static;

    /// The kind of its notices: a `static` of this class.
    fn notices() -> &'static KindOf<Notice<Self>>;

    /// It happens.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of a protocol; others are the object's own.
    fn on(slf: &Bound<'_, Self>, happening: Self::Happening) -> PyResult<()>;
}

/// What happens, and to which object.
pub(crate) struct Notice<T: Notified>(Py<T>, T::Happening);

impl<T: Notified> Notice<T> {
    pub(crate) fn to(object: &Bound<'_, T>, happening: T::Happening) -> Self {
        Self(object.clone().unbind(), happening)
    }
}

impl<T: Notified> Work for Notice<T> {
    fn kind() -> &'static KindOf<Self> {
        T::notices()
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let Self(object, happening) = self;
        let object = object.into_bound(event_loop.py());
        confine(event_loop, &object, |object| T::on(object, happening))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl<T: Notified> Watched for Notice<T> {
    fn again(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py), self.1)
    }
}

/// Makes kinds that tell one thing each, by a method of the object: for what happens often enough.
macro_rules! notices {
    ($($(#[$doc:meta])* $kind:ident of $owner:ident: $name:literal, by $method:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $kind(pub(super) pyo3::Py<$owner>);

        impl crate::turn::Work for $kind {
            fn kind() -> &'static crate::turn::KindOf<Self> {
                static KIND: crate::turn::KindOf<$kind> =
                    crate::turn::KindOf::new($name).watched();
                &KIND
            }

            fn run(self, event_loop: &pyo3::Bound<'_, crate::turn::Loop>) -> pyo3::PyResult<()> {
                let owner = self.0.into_bound(event_loop.py());
                crate::handle::confine(event_loop, &owner, $owner::$method)
            }

            fn subject(&self, py: pyo3::Python<'_>) -> Option<crate::turn::Subject> {
                Some(crate::turn::Subject::Object(self.0.clone_ref(py).into_any()))
            }

            fn visit(
                &self,
                visit: &pyo3::gc::PyVisit<'_>,
            ) -> Result<(), pyo3::PyTraverseError> {
                visit.call(&self.0)
            }
        }

        impl crate::turn::Watched for $kind {
            fn again(&self, py: pyo3::Python<'_>) -> Self {
                Self(self.0.clone_ref(py))
            }
        }
    )+};
}

pub(super) use notices;
