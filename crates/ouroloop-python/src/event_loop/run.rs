//! Running the loop: `run_forever`, `run_until_complete`, `stop`, and one turn.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::{Loop, LoopPhase, closed, debug, thread_identifier};
use crate::errors::containment::contained_result;
use crate::interpreter::fresh;
use crate::interpreter::once::Once as _;
use crate::interpreter::recursion::Level;
use crate::standard::Standard;
use crate::turn::Entry;
use crate::turn::hooks::{self, Seen};

/// What is held waits for the end of the turn, but not for more callbacks than this.
const CALLBACKS_PER_SEND: usize = 64;

#[pymethods]
impl Loop {
    /// Runs until `stop` is called; then the turn under way is finished.
    fn run_forever(slf: &Bound<'_, Self>) -> PyResult<()> {
        let _level = Level::enter(slf.py())?;
        Self::check_runnable(slf)?;
        Self::claim(slf)?;
        let mut saved = Saved::default();
        // A panic ends the run as an error does: the loop can be run again, or closed.
        let answer = contained_result(|| {
            Self::enter_run(slf, &mut saved)?;
            Self::turns(slf)
        });
        let left = Self::leave_run(slf, &saved);
        answer.inspect_err(|error| slf.get().note_leaving(slf.py(), error)).and(left)
    }

    /// Runs until `future` is done and answers its result.
    fn run_until_complete<'py>(
        slf: &Bound<'py, Self>,
        future: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        Self::check_runnable(slf)
            .inspect_err(|error| slf.get().discard_on_leaving(error, future))?;
        let standard = Standard::get(py)?;
        let isfuture = crate::interpreter::modules::module(py, intern!(py, "asyncio.futures"))?
            .getattr(intern!(py, "isfuture"))?;
        let is_new = !isfuture.call1((future,))?.is_truthy()?;
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "loop"), slf)?;
        let future = standard.ensure_future.bind(py).call((future,), Some(&keywords))?;
        if is_new {
            // The future is read below: no message if the loop ends before it does.
            future.setattr(intern!(py, "_log_destroy_pending"), false)?;
        }
        // asyncio's own function: by it anyio knows the task that a loop was started with.
        let done = standard.run_until_complete_cb.bind(py);
        future.call_method1(intern!(py, "add_done_callback"), (done,))?;
        let answer = slf.call_method0(intern!(py, "run_forever"));
        let removed = future.call_method1(intern!(py, "remove_done_callback"), (done,));
        let is_done = |future: &Bound<'py, PyAny>| -> PyResult<bool> {
            future.call_method0(intern!(py, "done"))?.is_truthy()
        };
        if let Err(error) = answer {
            // In a forked child the loop has refused to go on.
            let refused = slf.get().is_inherited() && error.is_instance_of::<PyRuntimeError>(py);
            if (is_new || refused)
                && is_done(&future)?
                && !future.call_method0(intern!(py, "cancelled"))?.is_truthy()?
            {
                // What the coroutine raised: a BaseException is on its way already.
                let raised = future.call_method0(intern!(py, "exception"))?;
                if refused && !raised.is_none() {
                    let raised = PyErr::from_value(raised);
                    slf.get().note_leaving(py, &raised);
                    return Err(raised);
                }
            }
            return Err(error);
        }
        removed?;
        if !is_done(&future)? {
            return Err(fresh::error::<PyRuntimeError>(
                "Event loop stopped before Future completed.",
            ));
        }
        future.call_method0(intern!(py, "result"))
    }

    /// Ends `run_forever` after the present turn.
    fn stop(&self, py: Python<'_>) {
        self.state.with(py, |state| state.stopping = true);
        // From a signal handler the loop may be in its wait.
        self.wake();
    }

    #[pyo3(name = "is_running")]
    fn py_is_running(&self, py: Python<'_>) -> bool {
        self.is_running(py)
    }
}

fn already_running() -> PyErr {
    fresh::error::<PyRuntimeError>("This event loop is already running")
}

/// What `run_forever` has to put back, as far as it has come.
#[derive(Default)]
struct Saved<'py> {
    asyncgen_hooks: Option<Bound<'py, PyAny>>,
    running_loop: Option<Bound<'py, PyAny>>,
}

impl Loop {
    fn check_runnable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().check_closed(py)?;
        slf.get().refuse_to_run_inherited(py)?;
        if slf.get().is_running(py) {
            return Err(already_running());
        }
        if !Standard::get(py)?.get_running_loop.bind(py).call0()?.is_none() {
            let message = "Cannot run the event loop while another loop is running";
            return Err(fresh::error::<PyRuntimeError>(message));
        }
        Ok(())
    }

    /// The loop is this thread's from here on, before anything that another thread could run between.
    fn claim(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_closed(py) {
            return Err(closed());
        }
        if slf.get().is_running(py) {
            return Err(already_running());
        }
        slf.get().state.with(py, |state| state.phase = LoopPhase::Running(thread_identifier()));
        Ok(())
    }

    fn enter_run<'py>(slf: &Bound<'py, Self>, saved: &mut Saved<'py>) -> PyResult<()> {
        let py = slf.py();
        let debug = slf.get().is_debug(py);
        debug::set_origin_tracking(slf, debug)?;
        saved.asyncgen_hooks = Some(Self::asyncgen_hooks(py)?);
        Self::install_asyncgen_hooks(slf)?;
        let standard = Standard::get(py)?;
        saved.running_loop = Some(standard.get_running_loop.bind(py).call0()?);
        standard.set_running_loop.bind(py).call1((slf,))?;
        #[cfg(Py_3_14)]
        slf.get().current.begin_run(slf.as_any())?;
        Self::attach_signals(slf)?;
        slf.get().engine.with(py, ouroloop::EventLoop::look);
        Ok(())
    }

    /// Puts everything back; the first error is answered, and keeps nothing from being put back.
    fn leave_run(slf: &Bound<'_, Self>, saved: &Saved<'_>) -> PyResult<()> {
        let py = slf.py();
        let left = Self::leave_task(slf);
        if let Some(bell) = slf.get().owed_call(py) {
            bell.ring();
        }
        slf.get().state.with(py, |state| {
            state.stopping = false;
            state.phase = LoopPhase::Stopped;
            state.was_left_in_a_run |= slf.get().is_inherited();
        });
        let signals = Self::detach_signals(slf);
        let running_loop = saved.running_loop.as_ref().map_or(Ok(()), |before| {
            Standard::get(py)?.set_running_loop.bind(py).call1((before,)).map(drop)
        });
        let tracking = debug::set_origin_tracking(slf, false);
        let hooks = saved
            .asyncgen_hooks
            .as_ref()
            .map_or(Ok(()), |before| Self::restore_asyncgen_hooks(py, before));
        left.and(signals).and(running_loop).and(tracking).and(hooks)
    }

    #[inline(never)]
    fn turns(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        loop {
            Self::turn(slf)?;
            if slf.get().state.with(py, |state| state.stopping) {
                return Ok(());
            }
        }
    }

    /// One turn, as [`ouroloop::event_loop`] describes it.
    #[expect(clippy::inline_always, reason = "the only call, once a turn: 3 % of an empty task")]
    #[inline(always)]
    fn turn(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (stopping, debug) = this.state.with(py, |state| (state.stopping, state.debug));
        let foreign_time = Self::has_foreign_time(slf);
        if foreign_time {
            Self::tell_time_before_wait(slf, stopping)?;
        }
        let mut owed = this.owed_call(py);
        let wait = this.engine.with(py, |engine| engine.plan(!stopping));
        if let Some(mut wait) = wait {
            if wait.blocks() || has_other_threads(py)? {
                // Other threads run now, and may ask.
                Self::leave_task(slf)?;
                py.detach(|| {
                    if let Some(bell) = owed.take() {
                        bell.ring();
                    }
                    wait.perform();
                });
            } else {
                wait.perform();
            }
            let told = if foreign_time { Self::tell_time_after_wait(slf) } else { Ok(()) };
            this.engine.with(py, |engine| engine.collect(wait))?;
            told?;
            // SAFETY: attached. Python's signal handlers run here, as they would between two
            // instructions of a loop written in Python.
            if unsafe { ffi::PyErr_CheckSignals() } != 0 {
                return Err(PyErr::fetch(py));
            }
        }
        if let Some(bell) = owed {
            bell.ring();
        }
        let ready = this.engine.with(py, ouroloop::EventLoop::begin_turn);
        let observed = debug || hooks::are_on();
        for number in 1..=ready {
            let Some(entry) = this.engine.with(py, ouroloop::EventLoop::pop) else { break };
            let answer = if observed { run_observed(slf, entry, debug) } else { entry.run(slf) };
            if this.is_inherited() {
                // The callback forked, and this is the child.
                return answer.and(this.act_for(py));
            }
            if let Err(error) = answer {
                // What was written before leaves all the same.
                Self::send_now(slf)?;
                return Err(error);
            }
            if number % CALLBACKS_PER_SEND == 0 {
                Self::send_now(slf)?;
            }
        }
        Self::send_now(slf)
    }
}

/// Runs an entry for whoever watches.
#[cold]
fn run_observed(slf: &Bound<'_, Loop>, entry: Entry, debug: bool) -> PyResult<()> {
    let seen = hooks::are_on().then(|| Seen::of(slf.py(), &entry));
    if let Some(seen) = &seen {
        seen.begins();
    }
    let answer = if debug { debug::run_timed(slf, entry) } else { entry.run(slf) };
    if let Some(seen) = &seen {
        seen.ends();
    }
    answer
}

/// Whether the program has other threads than this one, which get the GIL at each look then. Without that a loop
/// that always has something to do would keep it until the interpreter takes it away, milliseconds later.
fn has_other_threads(py: Python<'_>) -> PyResult<bool> {
    // `threading` adds and removes threads, and keeps the object for good.
    static LIVING: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let living = LIVING.find(py, || {
        let threading = crate::interpreter::modules::module(py, intern!(py, "threading"))?;
        let living = threading.getattr(intern!(py, "_active"))?.cast_into::<PyDict>()?;
        Ok::<_, PyErr>(living.unbind())
    })?;
    Ok(living.bind(py).len() > 1)
}
