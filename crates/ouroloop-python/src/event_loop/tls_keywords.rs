//! The keywords for TLS of methods that make connections and servers.

use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;

use super::keywords::Keywords;

/// What a caller wants of TLS; `None` is left out or `None`.
#[derive(Debug)]
pub(super) struct TlsKeywords {
    pub(super) ssl: Option<Py<PyAny>>,
    pub(super) handshake_timeout: Option<Py<PyAny>>,
    pub(super) shutdown_timeout: Option<Py<PyAny>>,
}

impl TlsKeywords {
    pub(super) fn take(keywords: &Keywords<'_>) -> PyResult<Self> {
        Ok(Self {
            ssl: keywords.take("ssl")?,
            handshake_timeout: keywords.take("ssl_handshake_timeout")?,
            shutdown_timeout: keywords.take("ssl_shutdown_timeout")?,
        })
    }

    /// Whether `ssl` is true.
    pub(super) fn is_wanted(&self, py: Python<'_>) -> PyResult<bool> {
        self.ssl.as_ref().map_or(Ok(false), |ssl| ssl.bind(py).is_truthy())
    }

    /// # Errors
    /// `ValueError` for a timeout where there is no TLS.
    pub(super) fn check_timeouts(&self, is_wanted: bool) -> PyResult<()> {
        let refuse = |message: &'static str| Err(PyValueError::new_err(message));
        if self.handshake_timeout.is_some() && !is_wanted {
            return refuse("ssl_handshake_timeout is only meaningful with ssl");
        }
        if self.shutdown_timeout.is_some() && !is_wanted {
            return refuse("ssl_shutdown_timeout is only meaningful with ssl");
        }
        Ok(())
    }

    /// # Errors
    /// `NotImplementedError` if `ssl` is true.
    pub(super) fn refuse(is_wanted: bool, method: &str) -> PyResult<()> {
        if is_wanted {
            return Err(PyNotImplementedError::new_err(format!("{method}: ssl is not supported")));
        }
        Ok(())
    }
}
