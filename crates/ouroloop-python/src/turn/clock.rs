//! The loop's time: the monotonic clock, or what a program has put in the place of `time`.
//!
//! A test's virtual clock is a derived class with a `time` of its own, or an attribute of the loop. Timers go by it
//! then, as under asyncio: it is asked once for how long to wait, if there is something to wait for,
//! and once for which timers are due. Nor does native code leave out a `call_later` or `call_at` of the program's own,
//! by which virtual clocks may go as well. Who has none pays a comparison of the class's version and a
//! look whether the object's dictionary is empty.

use ouroloop::clock::{Nanos, as_seconds, from_seconds};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat};

use super::event_loop::Loop;
use super::timekeeping::{ALL, Own};
use crate::interpreter::once::Once as _;
use crate::interpreter::recursion::Level;
use crate::interpreter::references::{CloneRef as _, DropRef as _};
use crate::native::overrides::{Attributes, Verdict};

/// Timers due before this many seconds from now are due, unless the loop says otherwise.
const RESOLUTION: f64 = 1e-9;

static TIME: PyOnceLock<Attributes> = PyOnceLock::new();
static TIMERS: PyOnceLock<Attributes> = PyOnceLock::new();

impl Loop {
    /// Seconds of the loop's own clock.
    pub(crate) fn monotonic(&self, py: Python<'_>) -> f64 {
        as_seconds(self.engine.with(py, |engine| engine.now()))
    }

    /// What `time()` answers.
    ///
    /// # Errors
    /// Those of the program's own method.
    #[inline]
    pub(crate) fn time(slf: &Bound<'_, Self>) -> PyResult<f64> {
        if Self::keeps_time(slf) {
            return Ok(slf.get().monotonic(slf.py()));
        }
        seconds_of(&Self::ask_time(slf)?)
    }

    /// The same as an object, as the program gives it; `None` if the loop's own method stands.
    pub(crate) fn foreign_time<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if Self::keeps_time(slf) { Ok(None) } else { Self::ask_time(slf).map(Some) }
    }

    #[cold]
    fn ask_time<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.call_method0(intern!(slf.py(), "time"))
    }

    /// Whether nothing stands in the place of the native `time`.
    #[inline]
    fn keeps_time(slf: &Bound<'_, Self>) -> bool {
        let plain = slf.get().timekeeping.with(slf.py(), |known| known.is_plain(slf.as_any()));
        plain || Self::judge_time(slf).time
    }

    /// The loop, if it is a native one and nothing stands in the place of its `time`, `call_later` and `call_at`:
    /// native code may schedule without them.
    #[inline]
    pub(crate) fn with_own_timers<'a, 'py>(
        event_loop: &'a Bound<'py, PyAny>,
    ) -> Option<&'a Bound<'py, Self>> {
        event_loop.cast::<Self>().ok().filter(|native| Self::keeps_timers(native))
    }

    #[inline]
    pub(crate) fn keeps_timers(slf: &Bound<'_, Self>) -> bool {
        let plain = slf.get().timekeeping.with(slf.py(), |known| known.is_plain(slf.as_any()));
        plain || Self::judge_time(slf) == ALL
    }

    #[cold]
    fn judge_time(slf: &Bound<'_, Self>) -> Own {
        let py = slf.py();
        let native = py.get_type::<Self>();
        let found = TIME.find(py, || Attributes::of(&native, &["time"])).and_then(|time| {
            let timers = || Attributes::of(&native, &["call_later", "call_at"]);
            Ok((time, TIMERS.find(py, timers)?))
        });
        let Ok((time, timers)) = found else { return ALL };
        let class = slf.as_any().get_type();
        let known = slf.get().timekeeping.with(py, |known| known.class);
        let own = Verdict::recall(known, slf.as_any()).unwrap_or_else(|| {
            let own = Own {
                time: time.are_those_of(&class).unwrap_or(false),
                timers: timers.are_those_of(&class).unwrap_or(false),
            };
            let (class, attributes) = (Verdict::new(&class, own), attributes_of(slf));
            let before = slf.get().timekeeping.with(py, |known| {
                known.class = class;
                std::mem::replace(&mut known.attributes, attributes)
            });
            before.drop_ref(py);
            own
        });
        let attributes = slf.get().timekeeping.with(py, |known| known.attributes.clone_ref(py));
        let Some(attributes) = attributes.map(|attributes| attributes.into_bound(py)) else {
            return own;
        };
        let stands = |known: &Attributes| known.are_not_in(&attributes).unwrap_or(false);
        Own { time: own.time && stands(time), timers: own.timers && stands(timers) }
    }

    /// Whether this turn's timers go by another time than the loop's own, or the last turn's did.
    #[inline]
    pub(crate) fn has_foreign_time(slf: &Bound<'_, Self>) -> bool {
        let timekeeping = &slf.get().timekeeping;
        let plain = timekeeping.with(slf.py(), |known| !known.told && known.is_plain(slf.as_any()));
        !plain && (timekeeping.with(slf.py(), |known| known.told) || !Self::judge_time(slf).time)
    }

    /// Tells the engine the program's time, for how long to wait.
    ///
    /// # Errors
    /// Those of the program's own method.
    #[cold]
    pub(crate) fn tell_time_before_wait(slf: &Bound<'_, Self>, stopping: bool) -> PyResult<()> {
        let py = slf.py();
        // Nothing tells when the program's clock moves: each turn looks.
        let asks = slf.get().engine.with(py, |engine| {
            engine.look();
            engine.awaits_timer() && !stopping
        });
        if asks { Self::tell_time(slf, 0.0) } else { Ok(()) }
    }

    /// Tells the engine the program's time, for which timers are due.
    ///
    /// # Errors
    /// Those of the program's own method.
    #[cold]
    pub(crate) fn tell_time_after_wait(slf: &Bound<'_, Self>) -> PyResult<()> {
        let resolution = slf
            .getattr_opt(intern!(slf.py(), "_clock_resolution"))?
            .map_or(Ok(RESOLUTION), |resolution| seconds_of(&resolution))?;
        Self::tell_time(slf, resolution)
    }

    fn tell_time(slf: &Bound<'_, Self>, resolution: f64) -> PyResult<()> {
        let py = slf.py();
        Self::leave_task(slf)?;
        let time = Self::foreign_time(slf)
            .and_then(|time| time.map(|time| seconds_of(&time)).transpose())
            .map(|time| time.map(|time| last_due(time, resolution)));
        // While the program cannot tell the time, no timer is due.
        let told = time.as_ref().map_or(Some(0), |time| *time);
        slf.get().engine.with(py, |engine| engine.go_by(told));
        slf.get().timekeeping.with(py, |known| known.told = told.is_some());
        time.map(drop)
    }
}

/// The last deadline that has come at `time`.
fn last_due(time: f64, resolution: f64) -> Nanos {
    // A deadline is due before `time + resolution`; whatever is lost in the sum, it is at `time`.
    from_seconds(time).max(from_seconds(time + resolution).saturating_sub(1))
}

/// A time or a delay as a number, which the program's own class may give.
///
/// # Errors
/// `TypeError` for what is no number; what its `__float__` raises.
pub(crate) fn seconds_of(time: &Bound<'_, PyAny>) -> PyResult<f64> {
    if let Ok(time) = time.cast_exact::<PyFloat>() {
        return Ok(time.value());
    }
    let _level = Level::enter(time.py())?;
    time.extract()
}

/// The dictionary of an object whose class has one.
fn attributes_of(event_loop: &Bound<'_, Loop>) -> Option<Py<PyDict>> {
    let py = event_loop.py();
    // SAFETY: attached; answers a new reference, or NULL with an error, which is taken.
    let own = unsafe {
        let own = ffi::PyObject_GenericGetDict(event_loop.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, own)
    };
    own.ok()?.cast_into().ok().map(Bound::unbind)
}
