//! What transports show Python alike.
//!
//! PyO3 takes methods of Python's from the class itself alone: what a trait carries out has to be named once for each
//! class. These macros do that.

/// Gives a transport what all have: the standard class for `__class__`, a protocol, a loop, a dictionary.
macro_rules! shows_transport {
    ($class:ty, $standard:ident) => {
        #[pymethods]
        impl $class {
            /// The standard class, so that `isinstance` holds.
            #[getter(__class__)]
            fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                let py = slf.py();
                Ok($crate::standard::Standard::get(py)?.$standard.bind(py).clone())
            }

            fn __del__(slf: &Bound<'_, Self>) {
                <Self as $crate::native::slots::Deallocate>::finalize(slf);
            }

            fn get_protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
                self.protocol(py)
            }

            #[getter(_loop)]
            fn loop_attribute<'py>(
                &self,
                py: Python<'py>,
            ) -> Option<Bound<'py, $crate::turn::Loop>> {
                self.event_loop(py)
            }

            #[getter(__dict__)]
            fn instance_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                $crate::native::instance_dict::get(slf.as_any())
            }
        }
    };
}

/// Gives a [`SocketEnd`](super::endpoint::SocketEnd) what those have, too.
macro_rules! shows_socket_end {
    ($class:ty, $standard:ident) => {
        shows_transport!($class, $standard);

        #[pymethods]
        impl $class {
            fn __repr__(
                slf: &Bound<'_, Self>,
            ) -> PyResult<$crate::interpreter::fresh::Text<String>> {
                Self::shown(slf).map($crate::interpreter::fresh::Text)
            }

            #[pyo3(name = "close")]
            fn py_close(slf: &Bound<'_, Self>) -> PyResult<()> {
                Self::close(slf)
            }

            #[pyo3(name = "abort")]
            fn py_abort(slf: &Bound<'_, Self>) -> PyResult<()> {
                Self::abort(slf)
            }

            /// `abort` with the error for `connection_lost`, as asyncio's `SSLProtocol` calls it.
            #[pyo3(name = "_force_close")]
            fn py_force_close(slf: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
                Self::flush_unsent(slf)?;
                Self::force_close(slf, exc)
            }

            fn is_reading(&self, py: Python<'_>) -> bool {
                self.with(py, |end| !end.closing && !end.paused)
            }

            #[pyo3(name = "pause_reading")]
            fn py_pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
                Self::pause_reading(slf)
            }

            fn get_write_buffer_limits<'py>(
                &self,
                py: Python<'py>,
            ) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
                let (low, high) = self.with(py, |end| (end.marks.low(), end.marks.high()));
                $crate::interpreter::fresh::sizes(py, low, high)
            }

            #[pyo3(signature = (high=None, low=None))]
            fn set_write_buffer_limits(
                slf: &Bound<'_, Self>,
                high: Option<$crate::transport::buffer_limits::BufferLimit>,
                low: Option<$crate::transport::buffer_limits::BufferLimit>,
            ) -> PyResult<()> {
                Self::set_limits(slf, high, low)
            }
        }
    };
}

/// Gives a `PipeEnd` with a `VALUE_OFFSET` what those have, too, and its end.
macro_rules! shows_pipe_end {
    ($class:ty, $standard:ident) => {
        shows_transport!($class, $standard);

        #[pymethods]
        impl $class {
            #[pyo3(signature = (name, default=None))]
            fn get_extra_info<'py>(
                slf: &Bound<'py, Self>,
                name: &Bound<'py, PyAny>,
                default: Option<Bound<'py, PyAny>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                Self::extra_info(slf, name, default)
            }

            fn is_closing(&self, py: Python<'_>) -> bool {
                self.end(py, |end| end.closing)
            }

            #[pyo3(name = "set_protocol")]
            fn py_set_protocol(slf: &Bound<'_, Self>, protocol: Py<PyAny>) {
                Self::set_protocol(slf, protocol);
            }

            #[getter(_pipe)]
            fn pipe_attribute(&self, py: Python<'_>) -> Option<Py<PyAny>> {
                self.pipe(py)
            }

            /// `None` lets go of a file object that the program has closed by itself.
            #[setter(_pipe)]
            fn set_pipe_attribute(&self, py: Python<'_>, pipe: Option<Py<PyAny>>) {
                self.set_pipe(py, pipe);
            }

            fn __traverse__(
                &self,
                visit: pyo3::gc::PyVisit<'_>,
            ) -> Result<(), pyo3::PyTraverseError> {
                // SAFETY: this is `tp_traverse`; instances have a dictionary.
                unsafe {
                    VALUE_OFFSET.visit(self, visit)?;
                    self.state.traverse(|state| state.end.visit(&visit))
                }
            }

            fn __clear__(&self) {
                // SAFETY: `tp_clear` is called attached.
                let py = unsafe { Python::assume_attached() };
                // SAFETY: instances have a dictionary.
                drop(unsafe { VALUE_OFFSET.take(self) });
                drop(self.end(py, End::take_references));
            }
        }

        impl $crate::native::slots::Deallocate for $class {
            keeps_original!();

            fn has_last_words(slf: &Bound<'_, Self>) -> bool {
                slf.get().end(slf.py(), |end| end.open)
            }

            fn last_words(slf: &Bound<'_, Self>) {
                Self::say_unclosed(slf);
            }

            unsafe fn strip(slf: &Bound<'_, Self>) {
                // SAFETY: instances have a dictionary.
                unsafe { $crate::native::instance_dict::strip(slf) };
            }
        }
    };
}
