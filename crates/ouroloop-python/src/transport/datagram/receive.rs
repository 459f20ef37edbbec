//! From the socket to the protocol.

use ouroloop::net::datagram::{Batch, Incoming, Received};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny};

use super::news::News;
use super::object::{DatagramTransport, Happening, READ, State, Within};
use crate::context::run_in;
use crate::errors::os_error::os_error;
use crate::interpreter::fresh;
use crate::interpreter::room::{Grow, taken};
use crate::transport::address;
use crate::transport::bytes::LARGEST_READ;
use crate::transport::endpoint::SocketEnd;

/// Why no more news are told.
enum Stopped {
    /// There are no more.
    Empty,
    /// The protocol does not want them now.
    Paused,
    /// It does not want them any more.
    Closed,
    /// A method of the protocol raised this.
    Failed(PyErr),
}

impl State {
    fn listener(&self, py: Python<'_>) -> Result<Py<PyAny>, Stopped> {
        match &self.end.protocol {
            // The protocol forked while it was told of one; the others are the parent's.
            _ if self.end.is_inherited() => Err(Stopped::Closed),
            Some(_) if self.end.closing => Err(Stopped::Closed),
            Some(_) if self.end.paused => Err(Stopped::Paused),
            Some(protocol) => Ok(protocol.clone_ref(py)),
            None => Err(Stopped::Closed),
        }
    }
}

impl DatagramTransport {
    /// The descriptor is readable: one read, and the protocol is told of each datagram.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(super) fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (watching, kept, family) = slf.get().state.with(py, |state| {
            (state.end.watching_reads, !state.undelivered.is_empty(), state.family)
        });
        if !watching {
            // Paused or closed after the descriptor was found readable.
            return Ok(());
        }
        if kept {
            return Self::deliver_kept(slf);
        }
        if !matches!(family, AddressFamily::INET | AddressFamily::INET6 | AddressFamily::UNIX) {
            return Self::read_by_python(slf);
        }
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        // Taken out, so that nobody else reads into it while Python code runs.
        let mut batch = event_loop.get().datagrams.replace(py, None).unwrap_or_default();
        let received = slf.get().state.with(py, |state| state.socket.receive(&mut batch));
        let answer = match received {
            Received::Datagrams(_) => Self::deliver(slf, &batch),
            Received::WouldBlock => Ok(()),
            Received::Failed(error) => {
                Self::error_received(slf, &os_error(py, &error), Within::Loop(READ))
            }
        };
        if !event_loop.get().is_closed(py) {
            event_loop.get().datagrams.set(py, Some(batch));
        }
        answer
    }

    /// A read from a socket whose addresses only Python's socket module can write.
    fn read_by_python(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(python_socket) = slf.get().python_socket(py) else { return Ok(()) };
        let answer = python_socket.call_method1(intern!(py, "recvfrom"), (LARGEST_READ,));
        match answer.and_then(|pair| pair.extract::<(Bound<'_, PyBytes>, Bound<'_, PyAny>)>()) {
            Ok((data, from)) => {
                let mut news = Some(News::Datagram(data.unbind(), from.unbind()));
                Self::tell_all(slf, || Ok(news.take())).and_then(|stopped| stopped.report(slf))
            }
            Err(error)
                if error.is_instance_of::<PyBlockingIOError>(py)
                    || error.is_instance_of::<PyInterruptedError>(py) =>
            {
                Ok(())
            }
            Err(error) if error.is_instance_of::<PyOSError>(py) => {
                Self::error_received(slf, &error, Within::Loop(READ))
            }
            Err(error) => Self::read_failed(slf, error),
        }
    }

    fn read_failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        Self::fatal_error(slf, error, "Fatal read error on datagram transport")
    }

    /// Tells the protocol of the datagrams of a read.
    fn deliver(slf: &Bound<'_, Self>, batch: &Batch) -> PyResult<()> {
        let mut place = 0;
        loop {
            let stopped = Self::tell_all(slf, || {
                let Some(incoming) = batch.get(place) else { return Ok(None) };
                place += 1;
                Self::news(slf, incoming).map(Some)
            });
            match stopped {
                Ok(Stopped::Empty | Stopped::Closed) => return Ok(()),
                Ok(Stopped::Paused) => return Self::keep(slf, batch, place),
                Ok(failed @ Stopped::Failed(..)) => {
                    if let Err(error) = failed.report(slf) {
                        Self::keep(slf, batch, place)?;
                        return Err(error);
                    }
                }
                Err(error) => return Self::read_failed(slf, error),
            }
        }
    }

    /// Keeps the datagrams of a read from `place` on.
    fn keep(slf: &Bound<'_, Self>, batch: &Batch, place: usize) -> PyResult<()> {
        let py = slf.py();
        for incoming in (place..batch.len()).filter_map(|place| batch.get(place)) {
            let news = Self::news(slf, incoming)?;
            let kept = slf.get().state.with(py, |state| state.undelivered.grow(news));
            taken(py, kept)?;
        }
        Self::deliver_later(slf);
        Ok(())
    }

    /// Has the loop deliver what is kept, if there is anything and the protocol wants it.
    pub(super) fn deliver_later(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let due =
            slf.get().state.with(py, |state| !state.undelivered.is_empty() && !state.end.paused);
        if due && let Some(event_loop) = slf.get().event_loop(py) {
            Self::push(slf, &event_loop, Happening::Deliver);
        }
    }

    /// Tells the protocol of the datagrams that were kept.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(super) fn deliver_kept(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        loop {
            let stopped = Self::tell_all(slf, || {
                Ok(slf.get().state.with(py, |state| state.undelivered.pop_front()))
            })?;
            let failed = matches!(stopped, Stopped::Failed(..));
            if let Err(error) = stopped.report(slf) {
                Self::deliver_later(slf);
                return Err(error);
            }
            if !failed {
                return Ok(());
            }
        }
    }

    /// Tells the protocol all news, as long as it wants them, in the transport's context, which is
    /// entered once.
    ///
    /// # Errors
    /// Those of `next`.
    fn tell_all(
        slf: &Bound<'_, Self>,
        mut next: impl FnMut() -> PyResult<Option<News>>,
    ) -> PyResult<Stopped> {
        let py = slf.py();
        let context = slf.get().state.with(py, |state| state.end.context.clone_ref(py));
        run_in(py, &context, || {
            loop {
                let told = match slf.get().state.with(py, |state| state.listener(py)) {
                    Ok(told) => told.into_bound(py),
                    Err(stopped) => return Ok(stopped),
                };
                match next()? {
                    None => return Ok(Stopped::Empty),
                    Some(News::Datagram(data, from)) => {
                        let method = intern!(py, "datagram_received");
                        if let Err(error) = told.call_method1(method, (&data, &from)) {
                            return Ok(Stopped::Failed(error));
                        }
                    }
                    Some(News::Truncated) => {
                        let error = os_error(py, &Errno::MSGSIZE.into()).into_value(py);
                        let method = intern!(py, "error_received");
                        if let Err(raised) = told.call_method1(method, (&error,)) {
                            return Ok(Stopped::Failed(raised));
                        }
                    }
                }
            }
        })
    }

    fn news(slf: &Bound<'_, Self>, incoming: Incoming<'_>) -> PyResult<News> {
        let py = slf.py();
        if incoming.truncated {
            return Ok(News::Truncated);
        }
        let data = fresh::bytes(py, incoming.data)?.unbind();
        let from = match incoming.from {
            None => py.None(),
            Some(address) => Self::sender(slf, address)?,
        };
        Ok(News::Datagram(data, from))
    }

    /// The object that stands for a sender's address.
    fn sender(slf: &Bound<'_, Self>, address: SocketAddrAny) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if let Some(known) = slf.get().state.with(py, |state| state.peers.object(py, &address)) {
            return Ok(known);
        }
        let object = address::to_python(py, &address)?.map_or_else(|| py.None(), Bound::unbind);
        let kept = object.clone_ref(py);
        drop(slf.get().state.with(py, |state| state.peers.received(address, kept)));
        Ok(object)
    }
}

impl Stopped {
    /// Reports the error of the protocol, if that is why.
    fn report(self, transport: &Bound<'_, DatagramTransport>) -> PyResult<()> {
        let py = transport.py();
        let Self::Failed(error) = self else { return Ok(()) };
        DatagramTransport::report(transport, READ, &PyTuple::empty(py), error)
    }
}
