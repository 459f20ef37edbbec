//! From the protocol to the socket.

use std::io;

use ouroloop::net::Holder;
use ouroloop::net::datagram::{Destination, Flushed, Outgoing, Sent};
use pyo3::exceptions::{
    PyBlockingIOError, PyInterruptedError, PyOSError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use super::object::{DatagramTransport, SEND, State, Within};
use crate::context::run_in;
use crate::errors::os_error::os_error;
use crate::handle::confine;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::no_memory;
use crate::standard::Standard;
use crate::transport::address;
use crate::transport::chunk::Chunk;
use crate::transport::endpoint::SocketEnd;
use crate::turn::{Loop, Unsent};

/// Callbacks that send fewer than this have each leave at once: to hold two or three costs more than it saves.
const SEVERAL: u8 = 4;

/// So many datagrams of a callback leave together.
const GATHERED: usize = 32;

/// Or as many as weigh this much.
const GATHERED_BYTES: usize = 32 * 1024;

/// Datagrams to a lost peer are warned of from this one on, as under asyncio.
const LOUD_LOSSES: u32 = 5;

/// What became of a datagram.
enum SendIntake {
    /// It has left.
    Sent,
    /// It has not, and will not.
    Failed(io::Error),
    /// It waits with others for the end of the turn, for some milliseconds at most.
    Held,
    /// So it does, as the first.
    NewlyHeld,
    /// It is to leave now, behind those that wait.
    Now,
    /// The kernel is full: it waits for the descriptor to become writable.
    Blocked,
}

/// What came of sending what waits.
enum Rest {
    Nothing,
    Something,
}

impl State {
    /// Sends a datagram, or queues it: there is room.
    fn take_in(
        &mut self,
        datagram: Outgoing<Chunk, Py<PyAny>>,
        callback: Option<u32>,
        holder: &Holder,
    ) -> SendIntake {
        let waits = callback.is_some_and(|callback| self.is_one_of_several(callback));
        if !waits && self.socket.queue().is_empty() {
            let sent = match &datagram.to {
                Destination::Peer => self.socket.send(datagram.data.as_ref(), None),
                Destination::Address(to) => self.socket.send(datagram.data.as_ref(), Some(to)),
                Destination::Foreign(_) => Sent::WouldBlock,
            };
            match sent {
                Sent::Whole => return SendIntake::Sent,
                Sent::Failed(error) => return SendIntake::Failed(error),
                Sent::WouldBlock => {}
            }
        }
        self.socket.push(datagram);
        if self.end.watching_writes {
            return SendIntake::Blocked;
        }
        let queue = self.socket.queue();
        let full =
            queue.len() >= GATHERED || queue.weight() > GATHERED_BYTES.min(self.end.marks.high());
        if !waits || full || !self.socket.hold(holder) {
            return SendIntake::Now;
        }
        if std::mem::replace(&mut self.end.unsent, true) {
            SendIntake::Held
        } else {
            SendIntake::NewlyHeld
        }
    }

    /// Counts a datagram; answers whether it may wait for others of its callback.
    fn is_one_of_several(&mut self, callback: u32) -> bool {
        self.habit.count(callback);
        if self.socket.waited_long() {
            self.habit.forget();
            return false;
        }
        self.habit.expected() >= SEVERAL && !self.habit.is_first()
    }
}

type Place = Destination<Py<PyAny>>;

impl DatagramTransport {
    /// `sendto(data, addr)`.
    ///
    /// # Errors
    /// `TypeError` for anything but bytes, `ValueError` for another address than the endpoint's,
    /// what `error_received` raises.
    pub(super) fn sendto(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let data = content(data)?;
        if data.as_bytes().is_empty() && !cfg!(Py_3_13) {
            return Ok(());
        }
        slf.get().claim_loop(py)?;
        let (remote, connected) =
            slf.get().state.with(py, |state| (state.remote.clone_ref(py), state.connected));
        if let (Some(remote), Some(addr)) = (&remote, addr)
            && !addr.eq(remote)?
        {
            let message = fresh::text(format_args!(
                "Invalid address: must be None or {}",
                remote.bind(py).str()?
            ))?;
            return Err(fresh::error::<PyValueError>(message));
        }
        let (losses, open) = slf.get().state.with(py, |state| {
            let open = state.socket.fd().is_some();
            let lost = state.end.losses > 0 && (state.remote.is_some() || !open);
            let losses = state.end.losses;
            state.end.losses += u32::from(lost);
            (lost.then_some(losses), open)
        });
        match losses {
            Some(LOUD_LOSSES..) => {
                let logger = Standard::get(py)?.logger.bind(py);
                let message = "socket.send() raised exception.";
                return logger.call_method1(intern!(py, "warning"), (message,)).map(drop);
            }
            Some(_) => return Ok(()),
            None => debug_assert!(open, "a closed transport has lost its peer"),
        }
        let to = match (connected, remote.as_ref().map(|remote| remote.bind(py)).or(addr)) {
            (true, _) => Destination::Peer,
            (false, Some(addr)) => Self::destination(slf, addr),
            (false, None) => Destination::Foreign(py.None()),
        };
        Self::take_in(slf, Outgoing { data: Chunk::new(&data), to })
    }

    /// Where an address leads to.
    fn destination(slf: &Bound<'_, Self>, addr: &Bound<'_, PyAny>) -> Place {
        let py = slf.py();
        let (known, family) =
            slf.get().state.with(py, |state| (state.peers.address(addr), state.family));
        if let Some(known) = known {
            return Destination::Address(known);
        }
        match address::from_python(family, addr) {
            Some(address) => {
                let (kept, object) = (address.clone(), addr.clone().unbind());
                drop(slf.get().state.with(py, |state| state.peers.sent(kept, object)));
                Destination::Address(address)
            }
            None => Destination::Foreign(addr.clone().unbind()),
        }
    }

    fn take_in(slf: &Bound<'_, Self>, datagram: Outgoing<Chunk, Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        if slf.get().state.with(py, |state| state.end.losses > 0) {
            return Self::send_last(slf, datagram);
        }
        let callback = event_loop.get().callback_that_writes(py).map(|(number, _)| number);
        let holder = event_loop.get().holder();
        let room = slf.get().state.with(py, |state| state.socket.reserve());
        room.map_err(|_| no_memory(py))?;
        match slf.get().state.with(py, |state| state.take_in(datagram, callback, holder)) {
            SendIntake::Sent | SendIntake::Held => Ok(()),
            SendIntake::NewlyHeld => {
                let unsent = Unsent::new(slf.clone().into_any().unbind(), on_turn_end);
                let known = event_loop.get().send_later(py, unsent);
                known.or_else(|_| Self::flush(slf, Within::Call))
            }
            SendIntake::Failed(error) => {
                Self::error_received(slf, &os_error(py, &error), Within::Call)
            }
            SendIntake::Now => Self::flush(slf, Within::Call),
            SendIntake::Blocked => Self::maybe_pause(slf),
        }
    }

    /// Sends a datagram after `close`, before the descriptor goes: now or never.
    fn send_last(slf: &Bound<'_, Self>, datagram: Outgoing<Chunk, Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let Outgoing { data, to } = datagram;
        let sent = slf.get().state.with(py, |state| match &to {
            Destination::Peer => state.socket.send(data.as_ref(), None),
            Destination::Address(address) => state.socket.send(data.as_ref(), Some(address)),
            Destination::Foreign(_) => Sent::WouldBlock,
        });
        match (sent, to) {
            (Sent::WouldBlock, Destination::Foreign(place)) => {
                Self::send_by_python(slf, data, place, Within::Call).map(drop)
            }
            (Sent::Whole | Sent::WouldBlock, _) => Ok(()),
            (Sent::Failed(error), _) => {
                Self::error_received(slf, &os_error(py, &error), Within::Call)
            }
        }
    }

    pub(super) fn flush(slf: &Bound<'_, Self>, within: Within) -> PyResult<()> {
        if slf.get().is_inherited(slf.py()) {
            // It is the parent's to send.
            return Ok(());
        }
        match Self::send_queued(slf, within)? {
            Rest::Nothing => Self::maybe_resume(slf),
            Rest::Something => Self::maybe_pause(slf),
        }
    }

    /// Sends what waits, as far as the kernel takes it, and watches for room if something is left.
    fn send_queued(slf: &Bound<'_, Self>, within: Within) -> PyResult<Rest> {
        let py = slf.py();
        loop {
            let flushed = slf.get().state.with(py, |state| {
                state.end.unsent = false;
                state.socket.flush()
            });
            let answer = match flushed {
                Flushed::Drained => return Ok(Rest::Nothing),
                Flushed::Blocked => return Self::wait_for_room(slf),
                Flushed::Failed(_, error) => {
                    Self::error_received(slf, &os_error(py, &error), within)
                }
                Flushed::Foreign(data, place) => {
                    match Self::send_by_python(slf, data, place, within) {
                        Ok(None) => Ok(()),
                        Ok(Some((data, place))) => {
                            let to = Destination::Foreign(place);
                            let datagram = Outgoing { data, to };
                            slf.get().state.with(py, |state| state.socket.put_back(datagram));
                            return Self::wait_for_room(slf);
                        }
                        Err(error) => Err(error),
                    }
                }
            };
            if let Err(error) = answer {
                Self::send_rest_later(slf);
                return Err(error);
            }
        }
    }

    /// The protocol has raised in the middle of sending: the rest leaves with the turn.
    fn send_rest_later(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let newly_unsent = slf.get().state.with(py, |state| {
            let waits = !state.socket.queue().is_empty() && !state.end.watching_writes;
            waits && !std::mem::replace(&mut state.end.unsent, true)
        });
        if newly_unsent && let Some(event_loop) = slf.get().event_loop(py) {
            let unsent = Unsent::new(slf.clone().into_any().unbind(), on_turn_end);
            if event_loop.get().send_later(py, unsent).is_err() {
                slf.get().state.with(py, |state| state.end.unsent = false);
                // The next write, or room in the kernel, sends them.
                drop(Self::start_writing(slf));
            }
        }
    }

    /// Sends by the Python socket, which alone understands the address; answers what it had no
    /// room for.
    fn send_by_python(
        slf: &Bound<'_, Self>,
        data: Chunk,
        place: Py<PyAny>,
        within: Within,
    ) -> PyResult<Option<(Chunk, Py<PyAny>)>> {
        let py = slf.py();
        let Some(python_socket) = slf.get().python_socket(py) else { return Ok(None) };
        let arguments = (data.object(py), &place);
        let Err(error) = python_socket.call_method1(intern!(py, "sendto"), arguments) else {
            return Ok(None);
        };
        if error.is_instance_of::<PyBlockingIOError>(py)
            || error.is_instance_of::<PyInterruptedError>(py)
        {
            return Ok(Some((data, place)));
        }
        if error.is_instance_of::<PyOSError>(py) {
            return Self::error_received(slf, &error, within).map(|()| None);
        }
        Self::fatal_error(slf, error, "Fatal write error on datagram transport").map(|()| None)
    }

    /// The descriptor is writable again.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(super) fn on_writable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let lost =
            slf.get().state.with(py, |state| !state.end.watching_writes || state.end.losses > 0);
        if lost {
            return Ok(());
        }
        Self::send_queued(slf, Within::Loop(SEND))?;
        let context = slf.get().state.with(py, |state| state.end.context.clone_ref(py));
        run_in(py, &context, || Self::maybe_resume(slf))?;
        // The protocol may have sent more, or ended everything, while it was told.
        let drained = slf
            .get()
            .state
            .with(py, |state| state.end.losses == 0 && state.socket.queue().is_empty());
        if drained {
            Self::stop_writing(slf);
            if slf.get().is_closing(py) {
                slf.get().state.with(py, |state| state.end.losses += 1);
                return Self::on_lost(slf);
            }
        }
        Ok(())
    }

    /// Something is left: it leaves when the descriptor is writable again.
    fn wait_for_room(slf: &Bound<'_, Self>) -> PyResult<Rest> {
        Self::start_writing(slf).map(|()| Rest::Something)
    }
}

/// The bytes to be sent; their owner may change them after this.
fn content<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = data.py();
    if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>()
    {
        return Ok(py.get_type::<PyBytes>().call1((PyMemoryView::from(data)?,))?.cast_into()?);
    }
    let name = data.get_type().name()?.repr()?;
    let message =
        fresh::text(format_args!("data argument must be a bytes-like object, not {name}"))?;
    Err(fresh::error::<PyTypeError>(message))
}

/// The turn is over, or has gone on for long.
fn on_turn_end(event_loop: &Bound<'_, Loop>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: it is given to `Unsent::new` with transports of this class alone.
    let transport = unsafe { transport.cast_unchecked::<DatagramTransport>() };
    if !transport.get().state.with(transport.py(), |state| state.end.unsent) {
        return Ok(());
    }
    confine(event_loop, transport, |it| DatagramTransport::flush(it, Within::Loop(SEND)))
}
