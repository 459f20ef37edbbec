//! `SubprocessTransport` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyProcessLookupError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::{STREAMS, Stream, SubprocessTransport, VALUE_OFFSET};
use crate::coroutine::Coroutine;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::native::instance_dict;
use crate::native::slots::Deallocate;
use crate::transport::unclosed::warn_unclosed;

shows_transport!(SubprocessTransport, subprocess_transport);

#[pymethods]
impl SubprocessTransport {
    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let py = slf.py();
        let (closed, pid, returncode) = slf
            .get()
            .state
            .with(py, |state| (state.closed, state.pid.as_raw_pid(), state.returncode));
        let mut words = vec![slf.get_type().name()?.to_string()];
        if closed {
            words.push(String::from("closed"));
        }
        words.push(format!("pid={pid}"));
        words.push(match returncode {
            Some(returncode) => format!("returncode={returncode}"),
            None => String::from("running"),
        });
        for (stream, name) in STREAMS.iter().enumerate() {
            if let Some(pipe) = slf.get().pipe(py, stream) {
                words.push(fresh::text(format_args!("{name}={}", pipe.bind(py).str()?))?);
            }
        }
        Ok(Text(fresh::text(format_args!("<{}>", fresh::listed(&words, " ")?))?))
    }

    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if name.eq(intern!(py, "subprocess"))?
            && let Some(process) = slf.get().state.with(py, |state| state.process.clone_ref(py))
        {
            return Ok(process.into_bound(py));
        }
        Ok(default.unwrap_or_else(|| py.None().into_bound(py)))
    }

    fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closed)
    }

    #[pyo3(name = "close")]
    fn py_close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::close(slf)
    }

    fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        drop(self.state.with(py, |state| state.protocol.replace(protocol)));
    }

    fn get_pid(&self, py: Python<'_>) -> i32 {
        self.state.with(py, |state| state.pid.as_raw_pid())
    }

    fn get_returncode(&self, py: Python<'_>) -> Option<i32> {
        self.state.with(py, |state| state.returncode)
    }

    fn get_pipe_transport(&self, py: Python<'_>, fd: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
        self.pipe(py, fd.extract().ok()?)
    }

    fn send_signal(slf: &Bound<'_, Self>, signal: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let process = slf.get().running_process(py)?;
        // Not by `Popen`, which would reap a child that has ended and keep its status to itself.
        if slf.get().get_returncode(py).is_some() {
            return Ok(());
        }
        let pid = process.getattr(intern!(py, "pid"))?;
        let os = crate::interpreter::modules::module(py, intern!(py, "os"))?;
        match os.call_method1(intern!(py, "kill"), (pid, signal)) {
            Err(error) if error.is_instance_of::<PyProcessLookupError>(py) => Ok(()),
            answer => answer.map(drop),
        }
    }

    fn terminate(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.call_method1(intern!(slf.py(), "send_signal"), (libc::SIGTERM,)).map(drop)
    }

    fn kill(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.call_method1(intern!(slf.py(), "send_signal"), (libc::SIGKILL,)).map(drop)
    }

    /// Waits for the child's end and answers its status.
    #[pyo3(name = "_wait")]
    fn wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let transport = slf.clone().unbind();
        Coroutine::new(slf.py(), "SubprocessTransport._wait", |scope| async move {
            let found = Python::attach(|py| Self::exit_waiter(transport.bind(py)))?;
            let waiter = match found {
                Ok(returncode) => {
                    return Python::attach(|py| {
                        Ok(returncode.into_pyobject(py)?.into_any().unbind())
                    });
                }
                Err(waiter) => waiter,
            };
            let awaited = Python::attach(|py| waiter.clone_ref(py).into_any());
            let answer = scope.wait(awaited).await;
            Python::attach(|py| Self::forget_exit_waiter(transport.bind(py), &waiter));
            answer
        })
    }

    /// What a child watcher calls, by way of the loop, with the child's status.
    #[pyo3(name = "_process_exited")]
    fn process_exited(slf: &Bound<'_, Self>, returncode: i32) -> PyResult<()> {
        Self::exited(slf, returncode)
    }

    #[getter(_proc)]
    fn process_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.process(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`; instances have a dictionary.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.state.traverse(|state| {
                visit.call(&state.event_loop)?;
                visit.call(&state.protocol)?;
                visit.call(&state.context)?;
                visit.call(&state.process)?;
                visit.call(&state.waiter)?;
                for waiter in &state.exit_waiters {
                    visit.call(waiter)?;
                }
                for stream in &state.streams {
                    if let Stream::Connected(protocol) = stream {
                        visit.call(protocol)?;
                    }
                }
                state.calls.iter().try_for_each(|call| call.visit(&visit))
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: instances have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        let streams = [Stream::Other, Stream::Other, Stream::Other];
        drop(self.state.with(py, |state| {
            (
                state.event_loop.take(),
                state.protocol.take(),
                state.process.take(),
                state.waiter.take(),
                std::mem::take(&mut state.exit_waiters),
                std::mem::replace(&mut state.streams, streams),
                std::mem::take(&mut state.calls),
            )
        }));
    }
}

impl SubprocessTransport {
    pub(super) fn protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.protocol.clone_ref(py))
    }

    /// The transport of one of the child's pipes.
    fn pipe(&self, py: Python<'_>, stream: usize) -> Option<Py<PyAny>> {
        let protocol = self.state.with(py, |state| match state.streams.get(stream) {
            Some(Stream::Connected(protocol)) => Some(protocol.clone_ref(py)),
            _ => None,
        });
        protocol.and_then(|protocol| protocol.bind(py).get().pipe(py))
    }

    /// # Errors
    /// `ProcessLookupError` when the child is gone and the protocol has been told, `RuntimeError`
    /// where it is the parent's child.
    fn running_process<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(event_loop) = self.event_loop(py) {
            event_loop.get().act_for(py)?;
        }
        self.process(py).ok_or_else(|| PyProcessLookupError::new_err(()))
    }
}

impl Deallocate for SubprocessTransport {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| !state.closed)
    }

    fn last_words(slf: &Bound<'_, Self>) {
        let warned = warn_unclosed(slf.as_any(), slf.get().is_inherited(slf.py()));
        for result in [warned, Self::close(slf)] {
            if let Err(error) = result {
                error.write_unraisable(slf.py(), Some(slf.as_any()));
            }
        }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: instances have a dictionary.
        unsafe { instance_dict::strip(slf) };
    }
}
