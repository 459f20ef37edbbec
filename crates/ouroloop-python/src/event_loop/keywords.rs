//! The keyword arguments of methods that have many of them.
//!
//! They are taken out of the dictionary one by one, so that a keyword that was left out differs
//! from one that is `None`, and so that each version of Python has the keywords that it knows.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::interpreter::fresh;
use crate::transport::tls::Request;

/// What a caller gave as `**keywords` and nobody has taken yet.
#[derive(Debug)]
pub(super) struct Keywords<'py> {
    method: &'static str,
    given: Option<Bound<'py, PyDict>>,
}

impl<'py> Keywords<'py> {
    pub(super) fn new(method: &'static str, given: Option<Bound<'py, PyDict>>) -> Self {
        Self { method, given }
    }

    /// Takes a keyword; `None` if it was left out or is `None`.
    pub(super) fn take(&self, name: &str) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.take_any(name)?.filter(|value| !value.is_none()).map(Bound::unbind))
    }

    /// Takes a keyword; `default` if it was left out.
    pub(super) fn take_or<T>(&self, py: Python<'py>, name: &str, default: T) -> PyResult<Py<PyAny>>
    where
        T: IntoPyObject<'py>,
        PyErr: From<T::Error>,
    {
        use pyo3::BoundObject;
        match self.take_any(name)? {
            Some(value) => Ok(value.unbind()),
            None => Ok(default.into_pyobject(py)?.into_any().unbind()),
        }
    }

    /// Takes a flag.
    pub(super) fn take_flag(&self, name: &str, default: bool) -> PyResult<bool> {
        self.take_any(name)?.map_or(Ok(default), |value| value.is_truthy())
    }

    /// Takes what concerns TLS.
    pub(super) fn take_tls(&self) -> PyResult<Request> {
        Ok(Request {
            ssl: self.take("ssl")?,
            server_hostname: None,
            handshake_timeout: self.take("ssl_handshake_timeout")?,
            shutdown_timeout: self.take("ssl_shutdown_timeout")?,
        })
    }

    /// [`Keywords::take_tls`] of a client, who expects the server to have a name.
    pub(super) fn take_tls_of_client(&self) -> PyResult<Request> {
        let server_hostname = self.take("server_hostname")?;
        Ok(Request { server_hostname, ..self.take_tls()? })
    }

    /// # Errors
    /// `TypeError` if the method has no such keyword as one that is left.
    pub(super) fn finish(self) -> PyResult<()> {
        match self.given.and_then(|given| given.iter().next()) {
            None => Ok(()),
            Some((name, _)) => Err(fresh::error_saying::<PyTypeError>(format_args!(
                "{}() got an unexpected keyword argument '{name}'",
                self.method
            ))),
        }
    }

    /// What is left, for somebody else's keywords.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn rest(self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.given.map_or_else(|| fresh::dict(py), Ok)
    }

    fn take_any(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(given) = &self.given else { return Ok(None) };
        let name = fresh::string(given.py(), name)?;
        let value = given.get_item(&name)?;
        if value.is_some() {
            given.del_item(name)?;
        }
        Ok(value)
    }
}
