//! `connect_read_pipe` and `connect_write_pipe`: transports on pipes that the program has.

use pyo3::prelude::*;

use super::Loop;
use super::closing::Closing;
use crate::coroutine::Coroutine;
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::standard::Standard;
use crate::transport::pipe::{ReadPipeTransport, WritePipeTransport};

#[pymethods]
impl Loop {
    /// Reads from a pipe, FIFO, terminal or socket; the coroutine answers
    /// `(transport, protocol)`. The transport closes the file object.
    fn connect_read_pipe<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        pipe: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Self::connect_pipe(slf, Direction::Read, protocol_factory, pipe)
    }

    /// Writes to a pipe, FIFO, terminal or socket; the coroutine answers
    /// `(transport, protocol)`. The transport closes the file object.
    fn connect_write_pipe<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        pipe: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Self::connect_pipe(slf, Direction::Write, protocol_factory, pipe)
    }
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Read,
    Write,
}

impl Direction {
    fn method(self) -> &'static str {
        match self {
            Self::Read => "Loop.connect_read_pipe",
            Self::Write => "Loop.connect_write_pipe",
        }
    }

    fn log_format(self) -> &'static str {
        match self {
            Self::Read => "Read pipe %r connected: (%r, %r)",
            Self::Write => "Write pipe %r connected: (%r, %r)",
        }
    }

    fn open<'py>(
        self,
        event_loop: &Bound<'py, Loop>,
        pipe: &Bound<'py, PyAny>,
        protocol: Py<PyAny>,
        waiter: Option<Py<Future>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::Read => ReadPipeTransport::open(event_loop, pipe, protocol, waiter)?.into_any(),
            Self::Write => WritePipeTransport::open(event_loop, pipe, protocol, waiter)?.into_any(),
        })
    }
}

impl Loop {
    fn connect_pipe<'py>(
        slf: &Bound<'py, Self>,
        direction: Direction,
        factory: Py<PyAny>,
        pipe: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        Coroutine::new(slf.py(), direction.method(), |scope| async move {
            let (transport, protocol, waiter) = Python::attach(|py| -> PyResult<_> {
                let event_loop = event_loop.bind(py);
                let protocol = factory.call0(py)?;
                let waiter = Future::create(event_loop)?;
                let kept = Some(waiter.clone().unbind());
                let given = protocol.clone_ref(py);
                let transport = direction.open(event_loop, pipe.bind(py), given, kept)?;
                Ok((Closing::new(transport.unbind()), protocol, waiter.into_any().unbind()))
            })?;
            scope.wait(waiter).await?;
            Python::attach(|py| {
                let transport = transport.keep(py);
                if event_loop.bind(py).get().is_debug(py) {
                    let fd = pipe.bind(py).call_method0(intern!(py, "fileno"))?;
                    let arguments = (Text(direction.log_format()), fd, &transport, &protocol);
                    let logger = Standard::get(py)?.logger.bind(py);
                    logger.call_method1(intern!(py, "debug"), arguments)?;
                }
                Ok(fresh::pack!(py, transport, protocol).into_any().unbind())
            })
        })
    }
}
