//! `SocketTransport` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::object::{SocketTransport, VALUE_OFFSET, delivery_of};
use crate::interpreter::fresh;
use crate::interpreter::fresh::Text;
use crate::native::method::{Arguments, Described, Method, install_method, needed_argument};
use crate::transport::endpoint::SocketEnd;
use crate::transport::protocol::is_of_stream;

shows_socket_end!(SocketTransport, transport);

#[pymethods]
impl SocketTransport {
    #[classattr]
    #[pyo3(name = "_start_tls_compatible")]
    const START_TLS_COMPATIBLE: bool = true;

    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let default = default.unwrap_or_else(|| slf.py().None().into_bound(slf.py()));
        Self::extra_info(slf, name, default)
    }

    #[pyo3(name = "is_closing")]
    fn py_is_closing(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if slf.get().holds(py)
            && let Some(protocol) = slf.get().protocol(py)
            && is_of_stream(protocol.bind(py))?
        {
            Self::flush(slf)?;
        }
        Ok(slf.get().is_closing(py))
    }

    fn set_protocol(slf: &Bound<'_, Self>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let delivery = delivery_of(protocol)?;
        let py = slf.py();
        // What the old protocol wrote leaves before anything of the new one.
        Self::flush_unsent(slf)?;
        let protocol = protocol.clone().unbind();
        drop(slf.get().state.with(py, |state| {
            state.delivery = delivery;
            state.end.protocol.replace(protocol)
        }));
        Ok(())
    }

    #[getter(_closing)]
    fn closing_attribute(&self, py: Python<'_>) -> bool {
        self.is_closing(py)
    }

    #[getter(_paused)]
    fn paused_attribute(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.end.paused)
    }

    #[pyo3(name = "resume_reading")]
    fn py_resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::resume_reading(slf).map(drop)
    }

    #[pyo3(name = "writelines")]
    fn py_writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::writelines(slf, list_of_data)
    }

    #[pyo3(name = "write_eof")]
    fn py_write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::write_eof(slf)
    }

    fn can_write_eof(&self) -> bool {
        true
    }

    fn get_write_buffer_size<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyInt>> {
        Self::flush_unsent(slf)?;
        fresh::size(slf.py(), slf.get().state.with(slf.py(), |state| state.stream.queued()))
    }

    #[getter(_protocol_paused)]
    fn protocol_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.end.marks.is_paused())
    }

    #[classattr]
    #[pyo3(name = "_sendfile_compatible")]
    fn sendfile_compatible(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        native_mode(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`; instances have a dictionary.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.state.traverse(|state| {
                state.end.visit(&visit)?;
                visit.call(&state.server)?;
                visit.call(&state.lent)?;
                visit.call(&state.extra)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: instances have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        drop(self.state.with(py, |state| {
            let rest = (state.server.take(), state.lent.take(), state.extra.take());
            (state.end.take_references(), rest)
        }));
    }
}

/// `write(data)`.
struct Write;

impl Method for Write {
    type Class = SocketTransport;
    const DESCRIBED: Described = Described {
        name: c"write",
        doc: c"write($self, data)\n--\n\nWrite bytes, without waiting for anything.",
    };

    #[inline]
    fn call<'py>(
        slf: &Bound<'py, SocketTransport>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let data = needed_argument("SocketTransport.write", "data", arguments)?;
        SocketTransport::write(slf, &data)?;
        Ok(slf.py().None().into_bound(slf.py()))
    }
}

/// Makes the class complete.
///
/// # Errors
/// Those of making its methods.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    crate::native::instance_dict::install::<SocketTransport>(py);
    crate::native::slots::install_deallocate::<SocketTransport>(py);
    install_method::<Write>(py)
}

/// `_sendfile_compatible` of transports that lend their descriptor.
///
/// # Errors
/// Those of looking it up.
fn native_mode(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let modes = crate::interpreter::modules::module(py, intern!(py, "asyncio.constants"))?
        .getattr(Text("_SendfileMode"))?;
    modes.getattr(Text("TRY_NATIVE"))
}
