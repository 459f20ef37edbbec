//! Frames of asyncio's that native code lends to calls about files.
//!
//! Tools that report blocking calls under a running loop (blockbuster is one) let those pass that asyncio makes, which
//! they know by a function's name and the end of its file's. A native method has no frame, and the call would seem
//! to be its caller's. As for `Popen`, a Python function lends its own.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::interpreter::once::Once as _;
use crate::native::embedded;

const UNIX_FILE: &str = "<ouroloop>/asyncio/unix_events.py";
const UNIX_FUNCTIONS: &str = include_str!("lent_unix_events.py");
const BASE_FILE: &str = "<ouroloop>/asyncio/base_events.py";
const BASE_FUNCTIONS: &str = include_str!("lent_base_events.py");

/// Whose frame it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LentFrame {
    CreateUnixServer,
    StopServing,
    CreateDatagramEndpoint,
}

impl LentFrame {
    /// Calls a function of the module `os` with a path.
    ///
    /// # Errors
    /// What it raises.
    pub(crate) fn call<'py>(
        self,
        function: &Bound<'py, PyString>,
        path: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static UNIX: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
        static BASE: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
        let py = path.py();
        let unix = || UNIX.find(py, || embedded::define(py, &[], UNIX_FUNCTIONS, UNIX_FILE));
        let (functions, name) = match self {
            Self::CreateUnixServer => (unix()?, intern!(py, "create_unix_server")),
            Self::StopServing => (unix()?, intern!(py, "_stop_serving")),
            Self::CreateDatagramEndpoint => (
                BASE.find(py, || embedded::define(py, &[], BASE_FUNCTIONS, BASE_FILE))?,
                intern!(py, "create_datagram_endpoint"),
            ),
        };
        let os = crate::interpreter::modules::module(py, intern!(py, "os"))?;
        let caller = functions.bind(py).as_any().get_item(name)?;
        caller.call1((os.getattr(function)?, path))
    }
}
