//! What the loop tells a transport or a listener, as entries of its queue.

/// Makes kinds of entries: each tells an object what happens to it, by one of its methods. Errors that the method
/// leaves behind are told to the loop's exception handler, as of this object.
macro_rules! news {
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
                let owner = self.0.bind(event_loop.py());
                crate::handle::confine(event_loop, owner, $owner::$method)
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

pub(super) use news;
