//! `asyncio.sleep`.
//!
//! | stage | holds | left when |
//! | --- | --- | --- |
//! | `Fresh` | the arguments | the first step |
//! | `Yielded` | the result | the next step: one turn has passed |
//! | `Native` | a future and the timer that ends it | the future is done, or an exception comes |
//! | `Foreign` | the same, by the protocol of any loop | likewise |
//!
//! `sleep(0)` and the like are pauses ([`Coroutine::pause`]); `Yielded` is for numbers that only
//! Python code can compare. Whichever way a sleep ends, its timer is cancelled.

use ouroloop::timers::TimerId;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::delay::{is_plainly_positive, is_positive};
use crate::coroutine::{Body, Coroutine, Incoming, iterator_of, step_into};
use crate::future::iter::await_step;
use crate::future::{Expire, Future};
use crate::interpreter::fresh;
use crate::native::slots::Resumed;
use crate::standard::Standard;
use crate::turn::Loop;
use crate::turn::Work as _;
use crate::turn::seconds_of;
use crate::waiting::running_loop;

/// Coroutine that is done `delay` seconds later, with `result`.
#[pyfunction]
#[pyo3(name = "sleep", signature = (delay, result=None))]
fn sleep<'py>(
    delay: &Bound<'py, PyAny>,
    result: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, Coroutine>> {
    let py = delay.py();
    let result = result.unwrap_or_else(|| py.None());
    if is_plainly_positive(delay) == Some(false) {
        return Coroutine::pause(py, "sleep", result);
    }
    let delay = delay.clone().unbind();
    Coroutine::of(py, "sleep", Sleep::Fresh { delay, result })
}

enum Sleep {
    Fresh { delay: Py<PyAny>, result: Py<PyAny> },
    Yielded { result: Py<PyAny> },
    Native { event_loop: Py<Loop>, future: Py<Future>, timer: TimerId },
    Foreign { iterator: Py<PyAny>, handle: Py<PyAny> },
    Over,
}

impl Body for Sleep {
    #[inline]
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        match std::mem::replace(self, Self::Over) {
            Self::Fresh { delay, result } => {
                self.begin(py, delay, result).unwrap_or_else(Resumed::Raised)
            }
            Self::Yielded { result } => match incoming {
                Ok(_) => Resumed::Returned(result),
                Err(error) => Resumed::Raised(error),
            },
            Self::Native { event_loop, future, timer } => {
                let resumed = match incoming {
                    Ok(_) => await_step(future.bind(py)),
                    Err(error) => Resumed::Raised(error),
                };
                if matches!(resumed, Resumed::Yielded(_)) {
                    *self = Self::Native { event_loop, future, timer };
                } else {
                    event_loop.bind(py).get().unschedule(py, timer);
                }
                resumed
            }
            Self::Foreign { iterator, handle } => {
                let resumed = step_into(iterator.bind(py), incoming);
                if matches!(resumed, Resumed::Yielded(_)) {
                    *self = Self::Foreign { iterator, handle };
                    return resumed;
                }
                match handle.bind(py).call_method0(intern!(py, "cancel")) {
                    Ok(_) => resumed,
                    Err(error) => Resumed::Raised(error),
                }
            }
            Self::Over => unreachable!("a body is not stepped after its end"),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Fresh { delay, result } => {
                visit.call(delay)?;
                visit.call(result)
            }
            Self::Yielded { result } => visit.call(result),
            Self::Native { event_loop, future, .. } => {
                visit.call(event_loop)?;
                visit.call(future)
            }
            Self::Foreign { iterator, handle } => {
                visit.call(iterator)?;
                visit.call(handle)
            }
            Self::Over => Ok(()),
        }
    }
}

impl Sleep {
    fn begin(&mut self, py: Python<'_>, delay: Py<PyAny>, result: Py<PyAny>) -> PyResult<Resumed> {
        let delay = delay.into_bound(py);
        if !is_positive(&delay)? {
            *self = Self::Yielded { result };
            return Ok(Resumed::Yielded(py.None()));
        }
        if cfg!(Py_3_13) && is_nan(&delay)? {
            return Err(fresh::error::<PyValueError>("Invalid delay: NaN (not a number)"));
        }
        let event_loop = running_loop(py)?;
        if let Some(native) = Loop::with_own_timers(&event_loop) {
            let future = Future::create(native)?;
            let when = Loop::time(native)? + seconds_of(&delay)?;
            let entry = Expire(future.clone().unbind(), result).entry();
            let timer = native.get().schedule_at(py, when, entry)?;
            let resumed = await_step(&future);
            let event_loop = native.clone().unbind();
            *self = Self::Native { event_loop, future: future.unbind(), timer };
            return Ok(resumed);
        }
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        let expire = &Standard::get(py)?.set_result_unless_cancelled;
        let arguments = (delay, expire, &future, result);
        let handle = event_loop.call_method1(intern!(py, "call_later"), arguments)?;
        let iterator = iterator_of(&future)?.unbind();
        *self = Self::Foreign { iterator, handle: handle.unbind() };
        Ok(self.step(py, Ok(py.None().into_bound(py))))
    }
}

/// `math.isnan(delay)`.
fn is_nan(delay: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(seconds_of(delay)?.is_nan())
}

/// Gives `module` the function.
pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sleep, module)?)
}
