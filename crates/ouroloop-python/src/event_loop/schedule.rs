//! Scheduling callbacks: `call_soon`, `call_later`, `call_at`, `call_soon_threadsafe`, `time`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{Loop, debug};
use crate::context::Snapshot;
use crate::future::{Bare, Done};
use crate::handle::{Contents, Handle, HandleCall, TimerHandle, When};
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::interpreter::room::gathered;
use crate::interpreter::tricks;
use crate::native::method::{Arguments, Described, Method, install_method, unexpected_keyword};
use crate::task::standard_step::StandardStep;
use crate::turn::{Entry, Work as _, seconds_of};

/// The arguments of a scheduling method: `leading` ones by place or name, `*args`, `context=None`.
struct Scheduling<'a, 'py, const N: usize> {
    leading: [Borrowed<'a, 'py, PyAny>; N],
    args: Bound<'py, PyTuple>,
    context: Option<Bound<'py, PyAny>>,
}

impl<'a, 'py, const N: usize> Scheduling<'a, 'py, N> {
    #[inline]
    fn parse(method: &str, names: [&str; N], arguments: &Arguments<'a, 'py>) -> PyResult<Self> {
        match arguments.only_positional() {
            Some(leading) => Ok(Self { leading, args: arguments.rest(N)?, context: None }),
            None => Self::parse_named(method, names, arguments),
        }
    }

    #[inline(never)]
    fn parse_named(
        method: &str,
        names: [&str; N],
        arguments: &Arguments<'a, 'py>,
    ) -> PyResult<Self> {
        let mut leading: [_; N] = std::array::from_fn(|place| arguments.get(place));
        let mut context = None;
        for (keyword, value) in arguments.keywords() {
            let word = keyword.to_str()?;
            if word == "context" {
                context = (!value.is_none()).then(|| value.to_owned());
                continue;
            }
            let known = names.iter().position(|name| *name == word);
            let Some(place) = known else { return Err(unexpected_keyword(method, &keyword)) };
            if leading[place].replace(value).is_some() {
                return Err(fresh::error_saying::<PyTypeError>(format_args!(
                    "{method}() got multiple values for argument '{word}'"
                )));
            }
        }
        let missing: Vec<_> =
            names.iter().zip(&leading).filter(|(_, value)| value.is_none()).collect();
        if let [(name, _), further @ ..] = missing.as_slice() {
            let listed = match further {
                [] => format!("1 required positional argument: '{name}'"),
                [(other, _), ..] => {
                    format!("2 required positional arguments: '{name}' and '{other}'")
                }
            };
            return Err(fresh::error::<PyTypeError>(format!("{method}() missing {listed}")));
        }
        let leading = leading.map(|value| value.expect("none is missing"));
        Ok(Self { leading, args: arguments.rest(N)?, context })
    }
}

/// `call_soon(callback, *args, context=None)`.
struct CallSoon;

impl Method for CallSoon {
    type Class = Loop;
    const DESCRIBED: Described = Described {
        name: c"call_soon",
        doc: c"call_soon($self, callback, *args, context=None)\n--\n\n\
        Calls `callback(*args)` in the next turn.",
    };

    #[inline]
    fn call<'py>(
        slf: &Bound<'py, Loop>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(entry) = standard_step(slf, arguments)? {
            slf.get().reserve(py, 1)?;
            slf.get().push(py, entry);
            return Ok(py.None().into_bound(py));
        }
        let Scheduling { leading: [callback], args, context } =
            Scheduling::parse("call_soon", ["callback"], arguments)?;
        slf.get().check_schedulable(py)?;
        if slf.get().is_debug(py) {
            debug::check_callback(&callback, "call_soon")?;
        }
        Ok(Loop::queue(slf, callback.to_owned(), args, context)?.into_any())
    }
}

/// What a task of the standard library's own schedules of itself, as an entry without a handle.
///
/// Such a task is the only one that calls these callables' `call_soon`, and drops the handle that
/// it would be given.
fn standard_step<'py>(
    slf: &Bound<'py, Loop>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Option<Entry>> {
    let py = slf.py();
    let Some(callback) = arguments.get(0) else { return Ok(None) };
    let Some(step) = StandardStep::of(&callback) else { return Ok(None) };
    let Some(context) = arguments.only_keyword("context") else { return Ok(None) };
    if slf.get().is_debug(py) {
        return Ok(None);
    }
    slf.get().check_closed(py)?;
    let (callback, context) = (callback.to_owned(), context.to_owned());
    Ok(match (step, arguments.len(), arguments.get(1)) {
        (StandardStep::Step, 1, _) => {
            Some(Bare { callback: callback.unbind(), context: context.unbind() }.entry())
        }
        (StandardStep::Wakeup, 2, Some(future)) => {
            let future = future.to_owned().unbind();
            Some(Done { callback: callback.unbind(), future, context: context.unbind() }.entry())
        }
        _ => None,
    })
}

/// `call_soon` for other threads and for signal handlers.
struct CallSoonThreadsafe;

impl Method for CallSoonThreadsafe {
    type Class = Loop;
    const DESCRIBED: Described = Described {
        name: c"call_soon_threadsafe",
        doc: c"call_soon_threadsafe($self, callback, *args, context=None)\n\
        --\n\n\
        Calls `callback(*args)` in the next turn; for other threads and for signal handlers.",
    };

    fn call<'py>(
        slf: &Bound<'py, Loop>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Scheduling { leading: [callback], args, context } =
            Scheduling::parse("call_soon_threadsafe", ["callback"], arguments)?;
        slf.get().check_closed(py)?;
        if slf.get().is_debug(py) {
            debug::check_callback(&callback, "call_soon_threadsafe")?;
        }
        let handle = Loop::queue(slf, callback.to_owned(), args, context)?;
        #[cfg(Py_3_14)]
        handle.get().guard(py);
        slf.get().wake();
        Ok(handle.into_any())
    }
}

/// `call_later(delay, callback, *args, context=None)`.
struct CallLater;

impl Method for CallLater {
    type Class = Loop;
    const DESCRIBED: Described = Described {
        name: c"call_later",
        doc: c"call_later($self, delay, callback, *args, context=None)\n\
        --\n\n\
        Calls `callback(*args)` once `delay` seconds have passed.",
    };

    fn call<'py>(
        slf: &Bound<'py, Loop>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Scheduling { leading: [delay, callback], args, context } =
            Scheduling::parse("call_later", ["delay", "callback"], arguments)?;
        if delay.is_none() {
            return Err(fresh::error::<PyTypeError>("delay must not be None"));
        }
        if !Loop::keeps_timers(slf) {
            return call_at_by_method(slf, &delay, &callback, &args, context);
        }
        let callback = callback.to_owned();
        let when = Loop::time(slf)? + seconds_of(&delay)?;
        Ok(Loop::queue_at(slf, When::Seconds(when), callback, args, context)?.into_any())
    }
}

/// `self.call_at(self.time() + delay, callback, *args, context=context)`, by whatever stands there.
#[cold]
fn call_at_by_method<'py>(
    slf: &Bound<'py, Loop>,
    delay: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let _level = Level::enter(py)?;
    let when = slf.call_method0(intern!(py, "time"))?.add(delay)?;
    let all = [when, callback.clone()].into_iter().chain(args.iter());
    let all = gathered(py, all.map(Ok))?;
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "context"), context)?;
    slf.call_method(intern!(py, "call_at"), fresh::tuple(py, all)?, Some(&keywords))
}

/// `call_at(when, callback, *args, context=None)`.
struct CallAt;

impl Method for CallAt {
    type Class = Loop;
    const DESCRIBED: Described = Described {
        name: c"call_at",
        doc: c"call_at($self, when, callback, *args, context=None)\n--\n\n\
        Calls `callback(*args)` once `time()` has reached `when`.",
    };

    fn call<'py>(
        slf: &Bound<'py, Loop>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Scheduling { leading: [when, callback], args, context } =
            Scheduling::parse("call_at", ["when", "callback"], arguments)?;
        if when.is_none() {
            return Err(fresh::error::<PyTypeError>("when cannot be None"));
        }
        let callback = callback.to_owned();
        Ok(Loop::queue_at(slf, When::Given(&when), callback, args, context)?.into_any())
    }
}

/// Puts these methods into the class.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    install_method::<CallSoon>(py)?;
    install_method::<CallSoonThreadsafe>(py)?;
    install_method::<CallLater>(py)?;
    install_method::<CallAt>(py)
}

impl Loop {
    /// Queues a call for the next turn.
    #[inline]
    pub(super) fn queue<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        if slf.get().is_debug(slf.py()) || tricks::are_off() {
            let handle = Self::make_handle(slf, callback, args, context)?;
            slf.get().reserve(slf.py(), 1)?;
            slf.get().push(slf.py(), HandleCall(handle.clone().unbind()).entry());
            return Ok(handle);
        }
        Handle::queue(slf, contents(slf.py(), callback, args, context)?)
    }

    /// A handle that is not scheduled yet.
    pub(super) fn make_handle<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let handle = Handle::create(slf, contents(py, callback, args, context)?)?;
        if slf.get().is_debug(py) {
            handle.get().remember_source(py)?;
        }
        Ok(handle)
    }

    fn queue_at<'py>(
        slf: &Bound<'py, Self>,
        when: When<'_, 'py>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, TimerHandle>> {
        let py = slf.py();
        slf.get().check_schedulable(py)?;
        let debug = slf.get().is_debug(py);
        if !debug && !tricks::are_off() {
            return TimerHandle::schedule(slf, when, contents(py, callback, args, context)?);
        }
        if debug {
            // `call_later` is `call_at` in other words, for asyncio too.
            debug::check_callback(&callback, "call_at")?;
        }
        let timer = TimerHandle::create(slf, when, contents(py, callback, args, context)?)?;
        if debug {
            timer.as_super().get().remember_source(py)?;
        }
        let entry = HandleCall(timer.as_super().clone().unbind()).entry();
        slf.get().reserve_timer(py)?;
        let id = slf.get().add_timer(py, timer.get().seconds(py), entry);
        timer.get().scheduled_as(py, id);
        Ok(timer)
    }
}

#[inline]
fn contents(
    py: Python<'_>,
    callback: Bound<'_, PyAny>,
    args: Bound<'_, PyTuple>,
    context: Option<Bound<'_, PyAny>>,
) -> PyResult<Contents> {
    let context = match context {
        Some(context) => Snapshot::of(context.unbind()),
        None => Snapshot::current(py)?,
    };
    Ok(Contents { callback: callback.unbind(), args: args.into_any().unbind(), context })
}
