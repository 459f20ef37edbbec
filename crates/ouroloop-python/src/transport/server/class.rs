//! `Server` as Python sees it, and how it serves.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::object::{Server, VALUE_OFFSET};
use crate::coroutine::{Coroutine, Scope, next_turn};
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::{copies, gathered, no_memory};
use crate::native::instance_dict;
use crate::standard::Standard;
use crate::transport::listener::Listener;
use crate::turn::Loop;

#[cfg(not(Py_3_13))]
use pyo3::exceptions::PyAssertionError;

impl Server {
    /// Listens on every socket and accepts what comes.
    ///
    /// # Errors
    /// The kernel's, of `listen`; `TypeError` on a closed server, as asyncio has it.
    pub(crate) fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state.with(py, |state| state.serving) {
            return Ok(());
        }
        let Some(sockets) = this.owned_sockets(py)? else {
            return Err(fresh::error::<PyTypeError>("'NoneType' object is not iterable"));
        };
        this.state.with(py, |state| state.serving = true);
        let backlog = this.state.with(py, |state| state.backlog.clone_ref(py));
        for socket in sockets {
            socket.bind(py).call_method1(intern!(py, "listen"), (&backlog,))?;
            let limit = backlog.extract::<i64>(py)?.max(0).saturating_add(1);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let listener = Listener::start(slf, socket.bind(py), limit)?.into_any().unbind();
            this.state.with(py, |state| state.listeners.push(listener));
        }
        Ok(())
    }

    /// Stops listening; connections live on.
    ///
    /// # Errors
    /// The first one of closing the sockets, every one of which is closed.
    pub(crate) fn shut(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let taken = slf.get().state.with(py, |state| {
            let sockets = state.sockets.take()?;
            state.serving = false;
            let serving_forever = state.serving_forever.take();
            let listeners = std::mem::take(&mut state.listeners);
            Some((sockets, listeners, state.file.take(), serving_forever))
        });
        let Some((sockets, listeners, file, serving_forever)) = taken else { return Ok(()) };
        let mut answer = Ok(());
        for listener in listeners {
            let listener = listener.bind(py).cast::<Listener>()?;
            answer = answer.and(Listener::stop(listener, slf.get().event_loop(py)));
        }
        for socket in sockets {
            let closed = socket.bind(py).call_method0(intern!(py, "close")).map(drop);
            answer = answer.and(closed);
        }
        if let Some(file) = file {
            answer = answer.and(file.remove(py));
        }
        if let Some(future) = serving_forever {
            Future::cancel(future.bind(py), None)?;
        }
        Self::wake_if_over(slf)?;
        answer
    }
}

#[pymethods]
impl Server {
    /// The standard class, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Standard::get(slf.py())?.server.bind(slf.py()).clone())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let sockets = slf.get().sockets(slf.py())?;
        Ok(Text(fresh::text(format_args!(
            "<{} sockets={}>",
            slf.get_type().name()?,
            sockets.repr()?
        ))?))
    }

    fn get_loop(&self, py: Python<'_>) -> Py<Loop> {
        self.event_loop.clone_ref(py)
    }

    fn is_serving(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.serving)
    }

    /// The listening sockets, guarded; none once the server is closed.
    #[getter(sockets)]
    fn sockets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let class = Standard::get(py)?.transport_socket.bind(py);
        let sockets = self.owned_sockets(py)?.unwrap_or_default();
        let guarded = sockets.iter().map(|socket| class.call1((socket,)));
        fresh::tuple(py, gathered(py, guarded)?)
    }

    #[getter(_sockets)]
    fn raw_sockets<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.owned_sockets(py)?.map(|sockets| fresh::list(py, sockets)).transpose()
    }

    #[getter(_waiters)]
    fn waiters<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let waiters = self.state.with(py, |state| {
            let waiters = state.waiters.as_ref()?;
            Some(copies(waiters.iter().map(|waiter| waiter.clone_ref(py))))
        });
        let waiters = waiters.transpose().map_err(|_| no_memory(py))?;
        waiters.map(|waiters| fresh::list(py, waiters)).transpose()
    }

    #[cfg(not(Py_3_13))]
    #[pyo3(name = "_attach")]
    fn count_in(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_open(py) {
            return Err(PyAssertionError::new_err(()));
        }
        self.state.with(py, |state| state.counted += 1);
        Ok(())
    }

    #[cfg(not(Py_3_13))]
    #[pyo3(name = "_detach")]
    fn count_out(slf: &Bound<'_, Self>) -> PyResult<()> {
        let left = slf.get().state.with(slf.py(), |state| {
            state.counted = state.counted.checked_sub(1)?;
            Some(())
        });
        left.ok_or_else(|| PyAssertionError::new_err(()))?;
        Self::wake_if_over(slf)
    }

    /// Stops listening and closes the listening sockets; connections live on.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::shut(slf)
    }

    /// Closes every connection once what waits has been written.
    #[cfg(Py_3_13)]
    fn close_clients(&self, py: Python<'_>) -> PyResult<()> {
        self.for_each_client(py, "close")
    }

    /// Closes every connection at once.
    #[cfg(Py_3_13)]
    fn abort_clients(&self, py: Python<'_>) -> PyResult<()> {
        self.for_each_client(py, "abort")
    }

    /// Begins to accept connections.
    fn start_serving<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let server = slf.clone().unbind();
        Coroutine::new(slf.py(), "Server.start_serving", |scope| async move {
            let pause = Python::attach(|py| {
                Self::start(server.bind(py))?;
                next_turn(py)
            })?;
            scope.wait(pause).await?;
            Python::attach(|py| Ok(py.None()))
        })
    }

    /// Accepts connections until it is cancelled, which closes the server.
    fn serve_forever<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let server = slf.clone().unbind();
        Coroutine::new(slf.py(), "Server.serve_forever", |scope| serve_forever(scope, server))
    }

    /// Waits until the server is closed and its last connection has ended.
    fn wait_closed<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let server = slf.clone().unbind();
        Coroutine::new(slf.py(), "Server.wait_closed", |scope| async move {
            wait_closed(&scope, &server).await
        })
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let server = slf.clone().into_any().unbind();
        Coroutine::new(slf.py(), "Server.__aenter__", |_| async move { Ok(server) })
    }

    #[pyo3(signature = (*_exc))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        _exc: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let server = slf.clone().unbind();
        Coroutine::new(slf.py(), "Server.__aexit__", |scope| async move {
            Python::attach(|py| Self::shut(server.bind(py)))?;
            wait_closed(&scope, &server).await
        })
    }

    #[getter(__dict__)]
    fn instance_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        instance_dict::get(slf.as_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        #[cfg(Py_3_15)]
        visit.call(&self.context)?;
        // SAFETY: this is `tp_traverse`; instances have a dictionary.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.state.traverse(|state| {
                state.sockets.iter().flatten().try_for_each(|socket| visit.call(socket))?;
                state.listeners.iter().try_for_each(|listener| visit.call(listener))?;
                state.waiters.iter().flatten().try_for_each(|waiter| visit.call(waiter))?;
                visit.call(&state.factory)?;
                state.security.as_ref().map_or(Ok(()), |security| security.visit(&visit))?;
                visit.call(&state.backlog)?;
                state.file.iter().try_for_each(|file| file.visit(&visit))?;
                visit.call(&state.serving_forever)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: instances have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        drop(self.state.with(py, |state| {
            (
                state.sockets.take(),
                std::mem::take(&mut state.listeners),
                state.factory.take(),
                state.security.take(),
                state.waiters.take(),
                state.serving_forever.take(),
            )
        }));
    }
}

drops_its_dictionary!(Server);

async fn wait_closed(scope: &Scope, server: &Py<Server>) -> PyResult<Py<PyAny>> {
    let waiter = Python::attach(|py| -> PyResult<_> {
        let server = server.bind(py).get();
        let over = server.state.with(py, |state| {
            // Python 3.11 does not wait for the connections of a closed server.
            state.waiters.is_none() || (cfg!(not(Py_3_12)) && state.sockets.is_none())
        });
        if over {
            return Ok(None);
        }
        let waiter = Future::create(server.event_loop(py))?;
        let kept = waiter.clone().unbind();
        let refused = server.state.with(py, |state| match &mut state.waiters {
            Some(waiters) => {
                waiters.push(kept);
                None
            }
            None => Some(kept),
        });
        drop(refused);
        Ok(Some(waiter.into_any().unbind()))
    })?;
    if let Some(waiter) = waiter {
        scope.wait(waiter).await?;
    }
    Python::attach(|py| Ok(py.None()))
}

/// Somebody is in `serve_forever`; dropping it ends that.
#[derive(Debug)]
struct Serving(Py<Server>);

impl Drop for Serving {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            let future = self.0.bind(py).get().state.with(py, |state| state.serving_forever.take());
            drop(future);
        });
    }
}

async fn serve_forever(scope: Scope, server: Py<Server>) -> PyResult<Py<PyAny>> {
    let (future, _serving) = Python::attach(|py| -> PyResult<_> {
        let slf = server.bind(py);
        let this = slf.get();
        let (busy, open) =
            this.state.with(py, |state| (state.serving_forever.is_some(), state.sockets.is_some()));
        if busy {
            let message = "is already being awaited on serve_forever()";
            return Err(fresh::error_saying::<PyRuntimeError>(format_args!(
                "server {} {message}",
                slf.repr()?
            )));
        }
        if !open {
            return Err(fresh::error_saying::<PyRuntimeError>(format_args!(
                "server {} is closed",
                slf.repr()?
            )));
        }
        Server::start(slf)?;
        let future = Future::create(this.event_loop(py))?;
        let kept = future.clone().unbind();
        drop(this.state.with(py, |state| state.serving_forever.replace(kept)));
        Ok((future.into_any().unbind(), Serving(server.clone_ref(py))))
    })?;
    let Err(error) = scope.wait(future).await else {
        return Python::attach(|py| Ok(py.None()));
    };
    let cancelled = Python::attach(|py| -> PyResult<_> {
        if !error.matches(py, Standard::get(py)?.cancelled_error.bind(py))? {
            return Ok(false);
        }
        Server::shut(server.bind(py))?;
        // Python 3.11 waits for no connection; later versions would wait for peers that never end theirs.
        #[cfg(Py_3_12)]
        server.bind(py).get().for_each_client(py, "close")?;
        Ok(true)
    })?;
    if cancelled {
        wait_closed(&scope, &server).await?;
    }
    Err(error)
}
