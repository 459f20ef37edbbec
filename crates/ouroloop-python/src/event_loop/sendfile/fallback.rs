//! Sending a file piece by piece: read in the executor, then written.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyMemoryView};

use super::arguments::Part;
use super::flow::Flow;
use crate::coroutine::Scope;
use crate::interpreter::fresh::{self, Text};
use crate::turn::Loop;

/// As much is read at once for a transport.
const TRANSPORT_PIECE: u64 = 16 * 1024;

/// A file that is read from `offset` on, and the room for one piece of it.
struct Reader {
    event_loop: Py<Loop>,
    file: Py<PyAny>,
    room: Py<PyByteArray>,
    offset: u64,
    count: Option<u64>,
    piece: u64,
    sent: u64,
}

impl Reader {
    fn begin(py: Python<'_>, event_loop: Py<Loop>, part: Part, largest: u64) -> PyResult<Self> {
        let (offset, count) = (part.offset(py)?, part.count(py)?);
        let file = part.file.bind(py);
        if file.hasattr(intern!(py, "seek"))? {
            file.call_method1(intern!(py, "seek"), (offset,))?;
        }
        let piece = count.map_or(largest, |count| count.min(largest));
        let length =
            usize::try_from(piece).map_err(|_| fresh::error::<PyValueError>("too large"))?;
        let room = PyByteArray::new_with(py, length, |_| Ok(()))?.unbind();
        Ok(Self { event_loop, file: part.file, room, offset, count, piece, sent: 0 })
    }

    /// Begins to read the next piece; answers the view that it goes to and what to wait for, `None`
    /// when all was sent.
    fn read(&mut self, py: Python<'_>) -> PyResult<Option<(Py<PyAny>, Py<PyAny>)>> {
        if let Some(count) = self.count {
            self.piece = self.piece.min(count.saturating_sub(self.sent));
            if self.piece == 0 {
                return Ok(None);
            }
        }
        let view = PyMemoryView::from(self.room.bind(py))?;
        let view = view.as_any().get_item(first(py, self.piece)?)?;
        let method = self.file.bind(py).getattr(intern!(py, "readinto"))?;
        let name = intern!(py, "run_in_executor");
        let reading = self.event_loop.bind(py).call_method1(name, (py.None(), method, &view))?;
        Ok(Some((view.unbind(), reading.unbind())))
    }

    /// The part of a view that was read, `None` at the file's end.
    fn filled<'py>(
        view: &Bound<'py, PyAny>,
        read: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, u64)>> {
        if !read.is_truthy()? {
            return Ok(None);
        }
        let read: u64 = read.extract()?;
        Ok(Some((view.get_item(first(view.py(), read)?)?, read)))
    }

    /// Moves the file's position behind what was sent.
    fn set_position(&self, py: Python<'_>) -> PyResult<()> {
        let file = self.file.bind(py);
        if self.sent > 0 && file.hasattr(intern!(py, "seek"))? {
            file.call_method1(intern!(py, "seek"), (self.offset + self.sent,))?;
        }
        Ok(())
    }

    fn answer(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(fresh::size(py, self.sent)?.into_any().unbind())
    }
}

/// The slice of the first `length` bytes.
fn first(py: Python<'_>, length: u64) -> PyResult<Bound<'_, PyAny>> {
    fresh::slice(py, 0, Some(usize::try_from(length).unwrap_or(usize::MAX)))
}

/// Sends to a socket by `sock_sendall`.
pub(super) async fn send_to_socket(
    scope: Scope,
    event_loop: Py<Loop>,
    socket: Py<PyAny>,
    part: Part,
) -> PyResult<Py<PyAny>> {
    let mut reader = Python::attach(|py| {
        let constants = crate::interpreter::modules::module(py, intern!(py, "asyncio.constants"))?;
        let largest = constants.getattr(Text("SENDFILE_FALLBACK_READBUFFER_SIZE"))?.extract()?;
        Reader::begin(py, event_loop, part, largest)
    })?;
    let sent = send_pieces(&scope, &mut reader, &socket).await;
    Python::attach(|py| {
        reader.set_position(py)?;
        sent?;
        reader.answer(py)
    })
}

async fn send_pieces(scope: &Scope, reader: &mut Reader, socket: &Py<PyAny>) -> PyResult<()> {
    loop {
        let Some((view, reading)) = Python::attach(|py| reader.read(py))? else { return Ok(()) };
        let read = scope.wait(reading).await?;
        let sending = Python::attach(|py| -> PyResult<_> {
            let Some((filled, length)) = Reader::filled(view.bind(py), read.bind(py))? else {
                return Ok(None);
            };
            let name = intern!(py, "sock_sendall");
            let sending = reader.event_loop.bind(py).call_method1(name, (socket, filled))?;
            Ok(Some((sending.unbind(), length)))
        })?;
        let Some((sending, length)) = sending else { return Ok(()) };
        scope.wait(sending).await?;
        reader.sent += length;
    }
}

/// Sends to a transport by its `write`, as fast as it takes it.
pub(super) async fn send_to_transport(
    scope: Scope,
    event_loop: Py<Loop>,
    transport: Py<PyAny>,
    part: Part,
) -> PyResult<Py<PyAny>> {
    let (mut reader, flow, transport) = Python::attach(|py| -> PyResult<_> {
        let flow_loop = event_loop.clone_ref(py);
        let reader = Reader::begin(py, event_loop, part, TRANSPORT_PIECE)?;
        let transport = transport.into_bound(py);
        let flow = Flow::begin(flow_loop.bind(py), &transport)?;
        Ok((reader, scope.keep(&flow), scope.keep(&transport)))
    })?;
    let written = async {
        loop {
            let Some((view, reading)) = Python::attach(|py| reader.read(py))? else {
                return Ok(());
            };
            let read = scope.wait(reading).await?;
            let piece = Python::attach(|py| -> PyResult<_> {
                let filled = Reader::filled(view.bind(py), read.bind(py))?;
                Ok(filled.map(|(filled, length)| (filled.unbind(), length)))
            })?;
            let Some((piece, length)) = piece else { return Ok(()) };
            let room = Python::attach(|py| {
                scope.get(py, transport).call_method1(intern!(py, "write"), (piece,))?;
                scope.get(py, flow).get().drain(py)
            })?;
            if let Some(room) = room {
                scope.wait(room).await?;
            }
            reader.sent += length;
        }
    };
    let written: PyResult<()> = written.await;
    Python::attach(|py| {
        let positioned = reader.set_position(py);
        let restored = scope.get(py, flow).get().restore(py);
        positioned?;
        restored?;
        written?;
        reader.answer(py)
    })
}
