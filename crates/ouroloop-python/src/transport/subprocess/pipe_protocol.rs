//! `PipeProtocol`: the protocol between a pipe of a child and the child's transport.
//!
//! Native pipe transports call it natively; its Python methods serve transports of other kinds,
//! such as those of a program that has replaced `connect_read_pipe`.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::object::{Connection, PipeProtocol, SubprocessTransport};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::standard::Standard;
use crate::transport::pipe::{CHILD_PROTOCOL, ChildProtocol};

impl PipeProtocol {
    pub(super) fn of<'py>(
        process: &Bound<'py, SubprocessTransport>,
        stream: usize,
    ) -> PyResult<Bound<'py, Self>> {
        let state =
            Connection { process: Some(process.clone().unbind()), pipe: None, disconnected: false };
        Bound::new(process.py(), Self { stream, state: AttachedCell::new(state) })
    }

    pub(super) fn pipe(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.pipe.clone_ref(py))
    }

    pub(super) fn is_disconnected(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.disconnected)
    }

    fn process<'py>(&self, py: Python<'py>) -> Option<Bound<'py, SubprocessTransport>> {
        self.state
            .with(py, |state| state.process.clone_ref(py))
            .map(|process| process.into_bound(py))
    }

    /// The pipe has this transport.
    pub(crate) fn connected(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) {
        let transport = transport.clone().unbind();
        drop(slf.get().state.with(slf.py(), |state| state.pipe.replace(transport)));
    }

    /// The pipe brought bytes.
    ///
    /// # Errors
    /// What looking up the method raises by which the child's protocol is told.
    pub(crate) fn received(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        match slf.get().process(slf.py()) {
            Some(process) => SubprocessTransport::pipe_received(&process, slf.get().stream, data),
            None => Ok(()),
        }
    }

    /// The pipe is disconnected.
    ///
    /// # Errors
    /// As [`PipeProtocol::received`].
    pub(crate) fn lost(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let process = slf.get().state.with(slf.py(), |state| {
            state.disconnected = true;
            state.process.take()
        });
        match process {
            Some(process) => {
                SubprocessTransport::pipe_lost(process.bind(slf.py()), slf.get().stream, error)
            }
            None => Ok(()),
        }
    }

    /// The name of the standard class that an instance stands for.
    fn class_name(&self) -> &'static str {
        if self.stream == 0 { "WriteSubprocessPipeProto" } else { "ReadSubprocessPipeProto" }
    }
}

#[pymethods]
impl PipeProtocol {
    /// The standard class, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let name = fresh::interned(py, slf.get().class_name())?;
        Standard::get(py)?.base_subprocess.bind(py).getattr(name)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let (this, py) = (slf.get(), slf.py());
        let _level = Level::enter(py)?;
        let pipe = this.pipe(py).into_pyobject(py)?;
        let pipe = pipe.repr()?;
        Ok(Text(format!("<{} fd={} pipe={pipe}>", this.class_name(), this.stream)))
    }

    #[getter]
    fn fd(&self) -> usize {
        self.stream
    }

    #[getter(proc)]
    fn process_attribute(&self, py: Python<'_>) -> Option<Py<SubprocessTransport>> {
        self.process(py).map(Bound::unbind)
    }

    #[getter(pipe)]
    fn pipe_attribute(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.pipe(py)
    }

    #[getter]
    fn disconnected(&self, py: Python<'_>) -> bool {
        self.is_disconnected(py)
    }

    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) {
        Self::connected(slf, transport);
    }

    #[pyo3(signature = (exc))]
    fn connection_lost(slf: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        Self::lost(slf, exc)
    }

    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(data) = data.cast::<PyBytes>() {
            return Self::received(slf, data);
        }
        let py = data.py();
        let copy = py.get_type::<PyBytes>().call1((data,))?;
        Self::received(slf, copy.cast::<PyBytes>()?)
    }

    fn eof_received(&self) {}

    fn pause_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().pass_on(slf.py(), "pause_writing")
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().pass_on(slf.py(), "resume_writing")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                visit.call(&state.process)?;
                visit.call(&state.pipe)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.with(py, |state| (state.process.take(), state.pipe.take())));
    }
}

impl PipeProtocol {
    /// Calls a method of the child's own protocol.
    fn pass_on(&self, py: Python<'_>, method: &'static str) -> PyResult<()> {
        let protocol = self.process(py).and_then(|process| process.get().protocol(py));
        match protocol {
            Some(protocol) => {
                protocol.bind(py).call_method0(fresh::interned(py, method)?).map(drop)
            }
            None => Ok(()),
        }
    }
}

/// Has pipe transports call it natively.
pub(super) fn make_known(py: Python<'_>) {
    fn cast<'a, 'py>(protocol: &'a Bound<'py, PyAny>) -> &'a Bound<'py, PipeProtocol> {
        // SAFETY: what is called below is called for objects of exactly this class.
        unsafe { protocol.cast_unchecked() }
    }
    let calls = ChildProtocol {
        connected: |protocol, transport| PipeProtocol::connected(cast(protocol), transport),
        received: |protocol, data| PipeProtocol::received(cast(protocol), data),
        lost: |protocol, error| PipeProtocol::lost(cast(protocol), error),
    };
    CHILD_PROTOCOL.make_known::<PipeProtocol>(py, calls);
}
