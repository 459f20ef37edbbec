//! Where a coroutine was made, if its thread wants that known (`sys.set_coroutine_origin_tracking_depth`).
//!
//! Each coroutine that is made asks how many frames are wanted, and almost always it is none. The thread's
//! state knows, in a field that no function in C reads. It is found when the module is imported, by two
//! numbers that are written the public way; where it is not found, each coroutine asks `sys`.

use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::interpreter::fresh;
use crate::interpreter::modules::module;
use crate::interpreter::room::{Grow, taken};
use crate::interpreter::tricks;

/// So many numbers of a thread's state are looked at, fewer than any version's has (3.12: 288 bytes).
const NUMBERS: usize = if cfg!(target_pointer_width = "64") { 256 / size_of::<c_int>() } else { 0 };

/// Depths that nobody asks for.
const PROBES: [c_int; 2] = [0x2B5D_93C1, 0x5C6E_71A9];

/// How many numbers into a thread's state its depth stands.
static PLACE: AtomicUsize = AtomicUsize::new(UNKNOWN);

/// The state begins with something else.
const UNKNOWN: usize = 0;

/// Finds the place of the depth.
///
/// # Errors
/// What the functions of `sys` raise.
pub(super) fn find(py: Python<'_>) -> PyResult<()> {
    if tricks::are_off() {
        return Ok(());
    }
    let sys = module(py, intern!(py, "sys"))?;
    let before = sys.call_method0(intern!(py, "get_coroutine_origin_tracking_depth"))?;
    let set = sys.getattr(intern!(py, "set_coroutine_origin_tracking_depth"))?;
    let found = PROBES.map(|depth| set.call1((depth,)).map(|_| places_of(depth)));
    set.call1((before,))?;
    let [first, second] = found;
    let (first, second) = (first?, second?);
    let mut both = (0..NUMBERS).filter(|place| first[*place] && second[*place]);
    if let (Some(place), None) = (both.next(), both.next()) {
        PLACE.store(place, Ordering::Relaxed);
    }
    Ok(())
}

/// Which numbers of this thread's state are `depth`.
fn places_of(depth: c_int) -> [bool; NUMBERS] {
    // SAFETY: whoever finds a place is attached.
    let state = unsafe { ffi::PyThreadState_Get() }.cast::<c_int>();
    // SAFETY: a thread's state has as many numbers.
    std::array::from_fn(|place| unsafe { state.add(place).read() } == depth)
}

/// Whether a coroutine that is made here and now has to remember where.
#[inline]
pub(super) fn is_wanted(py: Python<'_>) -> bool {
    depth(py) > 0
}

/// How many frames it has to remember.
#[inline]
fn depth(py: Python<'_>) -> c_int {
    match PLACE.load(Ordering::Relaxed) {
        UNKNOWN => asked(py),
        // SAFETY: attached; the place was found in the state of a thread.
        place => unsafe { ffi::PyThreadState_Get().cast::<c_int>().add(place).read() },
    }
}

/// The same the public way.
#[cold]
fn asked(py: Python<'_>) -> c_int {
    module(py, intern!(py, "sys"))
        .and_then(|sys| sys.call_method0(intern!(py, "get_coroutine_origin_tracking_depth")))
        .and_then(|depth| depth.extract())
        // A program that has replaced what it calls is not told of its origins.
        .unwrap_or(0)
}

/// The frames that are wanted, the innermost first: file, line and function of each.
///
/// # Errors
/// `MemoryError`.
pub(super) fn here(py: Python<'_>) -> PyResult<Py<PyTuple>> {
    let (mut frames, mut left) = (Vec::new(), depth(py));
    // SAFETY: attached; the answer is a new reference, or NULL.
    let mut frame =
        unsafe { frame_or_none(py, ffi::PyThreadState_GetFrame(ffi::PyThreadState_Get()))? };
    while let Some(that) = frame.filter(|_| left > 0) {
        left -= 1;
        taken(py, frames.grow(described(&that)?))?;
        // SAFETY: as above, and it is a frame.
        frame = unsafe { frame_or_none(py, ffi::PyFrame_GetBack(that.as_ptr().cast()))? };
    }
    fresh::tuple(py, frames).map(Bound::unbind)
}

/// A frame that there is memory for: NULL alone does not tell.
///
/// # Safety
/// It must be an owned reference, or NULL.
unsafe fn frame_or_none(
    py: Python<'_>,
    frame: *mut ffi::PyFrameObject,
) -> PyResult<Option<Bound<'_, PyAny>>> {
    // SAFETY: the caller's promise.
    let frame = unsafe { Bound::from_owned_ptr_or_opt(py, frame.cast()) };
    match frame {
        None => PyErr::take(py).map_or(Ok(None), Err),
        frame => Ok(frame),
    }
}

/// The entry of one frame.
fn described<'py>(frame: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let py = frame.py();
    // By functions, not by attributes, which tell audit hooks.
    // SAFETY: attached, with a frame; the code is a new reference.
    let (code, line) = unsafe {
        let code = ffi::PyFrame_GetCode(frame.as_ptr().cast());
        (Bound::from_owned_ptr(py, code.cast()), ffi::PyFrame_GetLineNumber(frame.as_ptr().cast()))
    };
    let (file, name) =
        (code.getattr(intern!(py, "co_filename"))?, code.getattr(intern!(py, "co_name"))?);
    Ok(fresh::pack!(py, file, line, name))
}

/// Warns of a coroutine that was never awaited and knows where it was made, as the interpreter does of
/// its own; answers whether that is done.
///
/// # Errors
/// What the warning raises, if filters make an error of it.
pub(super) fn warn(coroutine: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = coroutine.py();
    let warned = module(py, intern!(py, "warnings")).and_then(|warnings| {
        warnings.call_method1(intern!(py, "_warn_unawaited_coroutine"), (coroutine,))
    });
    match warned {
        Ok(_) => Ok(true),
        Err(error) if error.is_instance_of::<PyRuntimeWarning>(py) => Err(error),
        Err(error) => {
            error.write_unraisable(py, Some(coroutine));
            Ok(false)
        }
    }
}
