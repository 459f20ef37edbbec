//! A server: its sockets, and the connections that it counts.

use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::context::copy_current;
use crate::future::{Future, Outcome};
#[cfg(Py_3_12)]
use crate::interpreter::fresh::Text;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::{copies, no_memory};
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::ValueOffset;
use crate::transport::socket_file::SocketFile;
use crate::transport::tls::Security;
use crate::turn::Loop;

#[derive(Debug)]
pub(super) struct State {
    pub(super) sockets: Option<Vec<Py<PyAny>>>,
    /// Each a `Listener`, while it serves.
    pub(super) listeners: Vec<Py<PyAny>>,
    pub(super) factory: Option<Py<PyAny>>,
    pub(super) security: Option<Security>,
    pub(super) backlog: Py<PyAny>,
    /// The socket file that goes when the server closes.
    pub(super) file: Option<SocketFile>,
    pub(super) serving: bool,
    /// The connections: not references, each is removed before its memory goes.
    pub(super) clients: HashSet<NonNull<ffi::PyObject>>,
    /// Connections that Python code counts by `_attach` and `_detach`.
    #[cfg(not(Py_3_13))]
    pub(super) counted: usize,
    pub(super) waiters: Option<Vec<Py<Future>>>,
    pub(super) serving_forever: Option<Py<Future>>,
}

impl State {
    pub(super) fn has_clients(&self) -> bool {
        #[cfg(not(Py_3_13))]
        let counted = self.counted > 0;
        #[cfg(Py_3_13)]
        let counted = false;
        counted || !self.clients.is_empty()
    }
}

/// A native `asyncio.Server`.
#[pyclass(frozen, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) event_loop: Py<Loop>,
    /// How many writes a callback of its connections made last.
    pub(super) habit: AtomicU8,
    /// In copies of which connections are served.
    #[cfg(Py_3_15)]
    pub(super) context: Py<PyAny>,
    pub(super) state: AttachedCell<State>,
}

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl Server {
    /// How many writes a callback is expected to make on a connection that is new.
    pub(in crate::transport) fn habit(&self) -> u8 {
        self.habit.load(Ordering::Relaxed)
    }

    #[inline]
    pub(in crate::transport) fn learn_habit(&self, writes: u8) {
        self.habit.store(writes, Ordering::Relaxed);
    }

    /// A server that owns `sockets`, which are bound and do not block, and does not serve yet.
    pub(crate) fn new<'py>(
        event_loop: &Bound<'py, Loop>,
        sockets: Vec<Py<PyAny>>,
        factory: Py<PyAny>,
        security: Option<Security>,
        backlog: Py<PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let server = Self {
            event_loop: event_loop.clone().unbind(),
            habit: AtomicU8::new(1),
            #[cfg(Py_3_15)]
            context: copy_current(event_loop.py())?,
            state: AttachedCell::new(State {
                sockets: Some(sockets),
                listeners: Vec::new(),
                factory: Some(factory),
                security,
                backlog,
                file: None,
                serving: false,
                clients: HashSet::new(),
                #[cfg(not(Py_3_13))]
                counted: 0,
                waiters: Some(Vec::new()),
                serving_forever: None,
            }),
        };
        let server = Bound::new(event_loop.py(), server)?;
        VALUE_OFFSET.learn(&server);
        Ok(server)
    }

    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, Loop> {
        self.event_loop.bind(py)
    }

    /// Has `close` remove the file of the listening socket.
    pub(crate) fn remove_at_close(&self, py: Python<'_>, file: Option<SocketFile>) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.file, file)));
    }

    /// The context for connections if serving begins now: from Python 3.15 on that in which the
    /// server was made, before that the present one.
    #[cfg_attr(Py_3_15, expect(clippy::unnecessary_wraps, reason = "before that it is copied"))]
    pub(crate) fn context(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        #[cfg(Py_3_15)]
        return Ok(self.context.clone_ref(py));
        #[cfg(not(Py_3_15))]
        return copy_current(py);
    }

    /// Makes the protocols of new connections.
    pub(crate) fn factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.factory.clone_ref(py))
    }

    /// How new connections are secured.
    pub(crate) fn security(&self, py: Python<'_>) -> Option<Security> {
        self.state.with(py, |state| state.security.as_ref().map(|it| it.clone_ref(py)))
    }

    /// Whether it still takes connections in.
    pub(crate) fn is_open(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.sockets.is_some())
    }

    /// A transport of this server's begins to live; not owned.
    pub(crate) fn attach(&self, py: Python<'_>, transport: NonNull<ffi::PyObject>) {
        self.state.with(py, |state| state.clients.insert(transport));
    }

    /// A transport has lost its connection, or goes without: the server may be done.
    pub(crate) fn detach(slf: &Bound<'_, Self>, transport: NonNull<ffi::PyObject>) {
        let py = slf.py();
        slf.get().state.with(py, |state| state.clients.remove(&transport));
        if let Err(error) = Self::wake_if_over(slf) {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    /// Ends every `wait_closed` if the server and its last connection are closed.
    pub(super) fn wake_if_over(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let waiters = slf.get().state.with(py, |state| {
            let over = state.sockets.is_none() && !state.has_clients();
            if over { state.waiters.take() } else { None }
        });
        for waiter in waiters.into_iter().flatten() {
            if !waiter.bind(py).get().is_done(py) {
                Future::finish(waiter.bind(py), Outcome::Result(py.None()))?;
            }
        }
        Ok(())
    }

    /// The open connections.
    #[cfg(Py_3_12)]
    pub(super) fn clients<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let count = self.state.with(py, |state| state.clients.len());
        let mut found = crate::interpreter::room::vector(py, count)?;
        self.state.with(py, |state| {
            let clients = state.clients.iter().map(|client| client.as_ptr());
            // SAFETY: a transport is removed before its memory goes, so each is readable; one
            // whose count is zero is being deallocated and must not be revived.
            let living = clients.filter(|client| unsafe { ffi::Py_REFCNT(*client) } > 0);
            // SAFETY: as above.
            found.extend(living.map(|client| unsafe { Bound::from_borrowed_ptr(py, client) }));
        });
        Ok(found)
    }

    pub(super) fn owned_sockets(&self, py: Python<'_>) -> PyResult<Option<Vec<Py<PyAny>>>> {
        let sockets = self.state.with(py, |state| {
            let sockets = state.sockets.as_ref()?;
            Some(copies(sockets.iter().map(|socket| socket.clone_ref(py))))
        });
        sockets.transpose().map_err(|_| no_memory(py))
    }

    /// Closes every connection by its method `method`.
    #[cfg(Py_3_12)]
    pub(super) fn for_each_client(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        self.clients(py)?.iter().try_for_each(|client| client.call_method0(Text(method)).map(drop))
    }
}
