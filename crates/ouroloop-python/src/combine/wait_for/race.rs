//! `wait_for` up to 3.11: the awaited future and a timer race to end one waiter.

use ouroloop::timers::TimerId;
use pyo3::prelude::*;

use crate::combine::cancel_and_wait::{
    cancel_and_wait, ensure_future, result_in_time, result_of, unwatch, watch, without_time,
};
use crate::combine::delay::is_positive;
use crate::coroutine::{Kept, Scope};
use crate::errors::containment::settled;
use crate::future::is_done;
use crate::future::{Expire, Future};
use crate::standard::Standard;
use crate::turn::Loop;
use crate::turn::Work as _;
use crate::turn::seconds_of;
use crate::waiting::{Waiter, running_loop};

/// What has to be cancelled when the race is over.
enum Timer {
    Native(TimerId),
    Handle(Kept),
}

impl Timer {
    fn start(
        scope: &Scope,
        event_loop: &Bound<'_, PyAny>,
        delay: &Bound<'_, PyAny>,
        waiter: &Waiter,
    ) -> PyResult<Self> {
        let py = delay.py();
        let future = waiter.bind(py);
        if let (Some(native), Ok(future)) =
            (Loop::with_own_timers(event_loop), future.cast_exact::<Future>())
        {
            let when = Loop::time(native)? + seconds_of(delay)?;
            let entry = Expire(future.clone().unbind(), py.None()).entry();
            return Ok(Self::Native(native.get().schedule_at(py, when, entry)?));
        }
        let release = &Standard::get(py)?.release_waiter;
        let handle =
            event_loop.call_method1(intern!(py, "call_later"), (delay, release, future))?;
        Ok(Self::Handle(scope.keep(&handle)))
    }

    fn cancel(&self, scope: &Scope, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        match self {
            Self::Native(timer) => {
                if let Ok(native) = event_loop.cast::<Loop>() {
                    native.get().unschedule(py, *timer);
                }
                Ok(())
            }
            Self::Handle(handle) => {
                scope.get(py, *handle).call_method0(intern!(py, "cancel")).map(drop)
            }
        }
    }
}

/// One call of `wait_for` with time to wait.
struct Race {
    event_loop: Kept,
    timer: Timer,
    future: Kept,
    watched: Kept,
    waiter: Kept,
}

impl Race {
    fn start(
        scope: &Scope,
        event_loop: &Bound<'_, PyAny>,
        awaitable: &Bound<'_, PyAny>,
        delay: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let waiter = Waiter::create(event_loop)?;
        let timer = Timer::start(scope, event_loop, delay, &waiter)?;
        let watched =
            ensure_future(awaitable).and_then(|future| Ok((watch(&future, &waiter)?, future)));
        match watched {
            Ok((watched, future)) => Ok(Self {
                event_loop: scope.keep(event_loop),
                timer,
                future: scope.keep(&future),
                watched: scope.keep(&watched),
                waiter: scope.keep(waiter.bind(delay.py())),
            }),
            Err(error) => {
                timer.cancel(scope, event_loop)?;
                Err(error)
            }
        }
    }

    /// Stops watching the future, which is not done; answers it.
    fn give_up(&self, py: Python<'_>, scope: &Scope) -> PyResult<Py<PyAny>> {
        let future = scope.get(py, self.future);
        unwatch(&future, &scope.get(py, self.watched))?;
        Ok(future.unbind())
    }

    async fn run(&self, scope: &Scope) -> PyResult<Py<PyAny>> {
        let waiter = Python::attach(|py| scope.get(py, self.waiter).unbind());
        let interruption = scope.wait(waiter).await.err();
        let (done, cancelled) = Python::attach(|py| {
            let cancelled = match &interruption {
                None => false,
                Some(error) => error.matches(py, Standard::get(py)?.cancelled_error.bind(py))?,
            };
            Ok::<_, PyErr>((is_done(&scope.get(py, self.future))?, cancelled))
        })?;
        match interruption {
            Some(error) if !cancelled => return Err(error),
            Some(error) if done => {
                return Python::attach(|py| {
                    result_of(&scope.get(py, self.future)).map_err(|late| beside(py, late, error))
                });
            }
            Some(error) => {
                let future = Python::attach(|py| self.give_up(py, scope))?;
                return Err(match cancel_and_wait(scope, future).await {
                    Ok(()) => error,
                    Err(second) => Python::attach(|py| beside(py, second, error)),
                });
            }
            None if done => return Python::attach(|py| result_of(&scope.get(py, self.future))),
            None => {}
        }
        let future = Python::attach(|py| self.give_up(py, scope))?;
        cancel_and_wait(scope, future).await?;
        Python::attach(|py| result_in_time(&scope.get(py, self.future)))
    }
}

/// An error that came up while a cancellation was dealt with, which is its context.
fn beside(py: Python<'_>, error: PyErr, cancellation: PyErr) -> PyErr {
    let error = settled(py, error);
    if !error.value(py).is(cancellation.value(py)) {
        error.set_context(py, Some(cancellation));
    }
    error
}

/// What there is to do for a time-out.
enum Plan {
    Wait(Py<PyAny>),
    WithoutTime(Py<PyAny>),
    Race(Race),
}

fn plan(py: Python<'_>, scope: &Scope, awaitable: Kept, delay: Kept) -> PyResult<Plan> {
    let event_loop = running_loop(py)?;
    let (awaitable, delay) = (scope.let_go(py, awaitable), scope.let_go(py, delay));
    let awaitable = awaitable.into_pyobject(py)?;
    let delay = delay.into_pyobject(py)?;
    if delay.is_none() {
        return Ok(Plan::Wait(awaitable.unbind()));
    }
    if !is_positive(&delay)? {
        return Ok(Plan::WithoutTime(awaitable.unbind()));
    }
    Race::start(scope, &event_loop, &awaitable, &delay).map(Plan::Race)
}

pub(super) async fn race(scope: Scope, awaitable: Kept, delay: Kept) -> PyResult<Py<PyAny>> {
    match Python::attach(|py| plan(py, &scope, awaitable, delay))? {
        Plan::Wait(awaitable) => scope.wait(awaitable).await,
        Plan::WithoutTime(awaitable) => without_time(scope, awaitable).await,
        Plan::Race(race) => {
            let answer = race.run(&scope).await;
            Python::attach(|py| {
                race.timer.cancel(&scope, &scope.get(py, race.event_loop))?;
                answer
            })
        }
    }
}
