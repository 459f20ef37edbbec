//! Transports that nobody closed.

use pyo3::prelude::*;

use crate::interpreter::fresh;
use crate::turn::warn_resource;

/// Warns of a transport that nobody closed, unless this process inherited it from its parent.
///
/// # Errors
/// The warning, where warnings are errors; those of `repr`.
pub(super) fn warn_unclosed(transport: &Bound<'_, PyAny>, inherited: bool) -> PyResult<()> {
    if inherited {
        return Ok(());
    }
    warn_resource(
        transport,
        &fresh::text(format_args!("unclosed transport {}", transport.repr()?))?,
    )
}
