//! By which mechanism a loop waits for its descriptors, and who chooses it.
//!
//! The loop's keyword comes first, then the environment variable, then what is fastest here.

use ouroloop::multiplex::Mechanism;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::Loop;

use crate::interpreter::fresh::{self, Text};

const VARIABLE: &str = "OUROLOOP_MULTIPLEXER";

/// What a new loop is to wait by.
///
/// # Errors
/// `ValueError` for a name that this system does not know.
pub(super) fn choose(keyword: Option<&str>) -> PyResult<Mechanism> {
    if let Some(name) = keyword {
        return name.parse().map_err(|error| fresh::error::<PyValueError>(format!("{error}")));
    }
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else {
        return Ok(Mechanism::fastest());
    };
    let chosen = name.to_string_lossy().parse::<Mechanism>();
    chosen.map_err(|error| fresh::error::<PyValueError>(format!("{VARIABLE}: {error}")))
}

#[pymethods]
impl Loop {
    /// By which mechanism of the system the loop waits: `"epoll"`, `"kqueue"`, `"poll"` or `"select"`.
    #[getter]
    fn multiplexer(&self) -> Text<&'static str> {
        Text(self.mechanism.name())
    }
}
