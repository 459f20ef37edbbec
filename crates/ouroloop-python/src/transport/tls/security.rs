//! The arguments `ssl`, `server_hostname`, `ssl_handshake_timeout` and `ssl_shutdown_timeout`.
//!
//! A [`Request`] is what a caller gave; checked, it becomes the [`Security`] of connections.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::names::Names;

use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;

/// asyncio's limits, in seconds.
const HANDSHAKE_TIMEOUT: f64 = 60.0;
const SHUTDOWN_TIMEOUT: f64 = 30.0;

/// What a caller wants of TLS; `None` is left out or `None`.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) ssl: Option<Py<PyAny>>,
    pub(crate) server_hostname: Option<Py<PyAny>>,
    pub(crate) handshake_timeout: Option<Py<PyAny>>,
    pub(crate) shutdown_timeout: Option<Py<PyAny>>,
}

impl Request {
    /// Whether TLS is wanted at all.
    ///
    /// # Errors
    /// Those of the object's truth.
    pub(crate) fn is_wanted(&self, py: Python<'_>) -> PyResult<bool> {
        self.ssl.as_ref().map_or(Ok(false), |ssl| ssl.bind(py).is_truthy())
    }

    /// # Errors
    /// `ValueError` for a time-out of a connection without TLS.
    pub(crate) fn check_timeouts(&self, py: Python<'_>) -> PyResult<()> {
        let given = [
            ("ssl_handshake_timeout", &self.handshake_timeout),
            ("ssl_shutdown_timeout", &self.shutdown_timeout),
        ];
        for (name, timeout) in given {
            if timeout.is_some() && !self.is_wanted(py)? {
                return Err(fresh::error_saying::<PyValueError>(format_args!(
                    "{name} is only meaningful with ssl"
                )));
            }
        }
        Ok(())
    }

    /// # Errors
    /// `ValueError` for a host name of a connection without TLS, or for none of one that has TLS and
    /// no `host`; that of [`Request::check_timeouts`].
    pub(crate) fn check_client(&self, py: Python<'_>, host: Option<&Py<PyAny>>) -> PyResult<()> {
        let wanted = self.is_wanted(py)?;
        if self.server_hostname.is_some() && !wanted {
            let message = "server_hostname is only meaningful with ssl";
            return Err(fresh::error::<PyValueError>(message));
        }
        let host_given = host.map_or(Ok(false), |host| host.bind(py).is_truthy())?;
        if self.server_hostname.is_none() && wanted && !host_given {
            let message = "You must set server_hostname when using ssl without a host";
            return Err(fresh::error::<PyValueError>(message));
        }
        self.check_timeouts(py)
    }

    /// # Errors
    /// `TypeError` for `ssl=True`, which names no certificate; that of [`Request::check_timeouts`].
    pub(crate) fn check_server(&self, py: Python<'_>) -> PyResult<()> {
        if self.ssl.as_ref().is_some_and(|ssl| ssl.bind(py).is_instance_of::<PyBool>()) {
            let message = "ssl argument must be an SSLContext or None";
            return Err(fresh::error::<PyTypeError>(message));
        }
        self.check_timeouts(py)
    }

    /// The security of a client's connection to `host`; `None` if TLS is not wanted.
    ///
    /// # Errors
    /// Those of the object's truth.
    pub(crate) fn of_client(
        &self,
        py: Python<'_>,
        host: Option<&Py<PyAny>>,
    ) -> PyResult<Option<Security>> {
        let mut security = self.security(py, false)?;
        if let Some(security) = &mut security
            && security.server_hostname.is_none()
        {
            security.server_hostname = host.map(|host| host.clone_ref(py));
        }
        Ok(security)
    }

    /// The security of a server's connections; `None` if TLS is not wanted.
    ///
    /// # Errors
    /// Those of the object's truth.
    pub(crate) fn of_server(&self, py: Python<'_>) -> PyResult<Option<Security>> {
        self.security(py, true)
    }

    fn security(&self, py: Python<'_>, server_side: bool) -> PyResult<Option<Security>> {
        if !self.is_wanted(py)? {
            return Ok(None);
        }
        let context = self.ssl.as_ref().filter(|ssl| !ssl.bind(py).is_instance_of::<PyBool>());
        Ok(Some(Security {
            context: context.map(|context| context.clone_ref(py)),
            server_side,
            server_hostname: self.server_hostname.clone_ref(py),
            handshake_timeout: self.handshake_timeout.clone_ref(py),
            shutdown_timeout: self.shutdown_timeout.clone_ref(py),
        }))
    }
}

/// How a connection is secured.
#[derive(Debug)]
pub(crate) struct Security {
    /// An `ssl.SSLContext`; `None` for the standard library's default.
    pub(crate) context: Option<Py<PyAny>>,
    pub(crate) server_side: bool,
    pub(crate) server_hostname: Option<Py<PyAny>>,
    pub(crate) handshake_timeout: Option<Py<PyAny>>,
    pub(crate) shutdown_timeout: Option<Py<PyAny>>,
}

/// Seconds, as the user gave them.
pub(super) struct Timeouts {
    pub(super) handshake: Py<PyAny>,
    pub(super) shutdown: Py<PyAny>,
}

impl Security {
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            context: self.context.clone_ref(py),
            server_side: self.server_side,
            server_hostname: self.server_hostname.clone_ref(py),
            handshake_timeout: self.handshake_timeout.clone_ref(py),
            shutdown_timeout: self.shutdown_timeout.clone_ref(py),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        visit.call(&self.server_hostname)?;
        visit.call(&self.handshake_timeout)?;
        visit.call(&self.shutdown_timeout)
    }

    /// # Errors
    /// `ValueError` for a time-out that is not positive.
    pub(super) fn timeouts(&self, py: Python<'_>) -> PyResult<Timeouts> {
        let checked = |name: &str, given: &Option<Py<PyAny>>, default: f64| {
            let Some(given) = given else {
                return Ok(fresh::float(py, default)?.into_any().unbind());
            };
            if given.bind(py).le(0)? {
                let message = "should be a positive number, got";
                return Err(fresh::error_saying::<PyValueError>(format_args!(
                    "{name} {message} {given}"
                )));
            }
            Ok(given.clone_ref(py))
        };
        Ok(Timeouts {
            handshake: checked(
                "ssl_handshake_timeout",
                &self.handshake_timeout,
                HANDSHAKE_TIMEOUT,
            )?,
            shutdown: checked("ssl_shutdown_timeout", &self.shutdown_timeout, SHUTDOWN_TIMEOUT)?,
        })
    }

    /// The `ssl.SSLContext` to use.
    ///
    /// # Errors
    /// `ValueError` for a server without one.
    pub(super) fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let names = Names::get(py)?;
        if let Some(context) = &self.context {
            return Ok(context.bind(py).clone());
        }
        if self.server_side {
            return Err(fresh::error::<PyValueError>("Server side SSL needs a valid SSLContext"));
        }
        let context = names.module.bind(py).call_method0(intern!(py, "create_default_context"))?;
        let has_name =
            self.server_hostname.as_ref().map_or(Ok(false), |name| name.is_truthy(py))?;
        if !has_name {
            context.setattr(intern!(py, "check_hostname"), false)?;
        }
        Ok(context)
    }

    /// The name by which a client knows its server.
    pub(super) fn name<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &self.server_hostname {
            Some(name) if !self.server_side && name.is_truthy(py)? => {
                Ok(Some(name.bind(py).clone()))
            }
            _ => Ok(None),
        }
    }
}
