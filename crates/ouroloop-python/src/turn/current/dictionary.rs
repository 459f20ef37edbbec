//! Up to 3.13: the value of an entry in the dictionary `asyncio.tasks._current_tasks`.

use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;

use super::standard::{self, NotHere};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::once::Once as _;
use crate::interpreter::tricks;

/// The head of a dictionary object, the same from 3.11 to 3.13.
#[repr(C)]
struct Dictionary {
    head: ffi::PyObject,
    used: ffi::Py_ssize_t,
    version: u64,
    keys: *mut Keys,
}

/// The head of its table; the index and then the entries follow.
#[repr(C)]
struct Keys {
    references: ffi::Py_ssize_t,
    log2_size: u8,
    log2_index_bytes: u8,
    kind: u8,
    version: u32,
    usable: ffi::Py_ssize_t,
    entries: ffi::Py_ssize_t,
}

/// The kind of a table with a key that is not a string.
const GENERAL: u8 = 0;

#[repr(C)]
struct Entry {
    hash: ffi::Py_hash_t,
    key: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
}

/// The entry of a loop, by number: the table may grow or move.
#[derive(Debug)]
pub(super) struct Place {
    number: Option<isize>,
}

impl Place {
    pub(super) const UNKNOWN: Self = Self { number: None };

    /// Exchanges the value of the entry, if it is where it was.
    #[inline]
    pub(super) fn exchange<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        task: Option<&Bound<'py, PyAny>>,
        entered: bool,
    ) -> Result<Option<Bound<'py, PyAny>>, NotHere> {
        // To remove an entry is more than to exchange its value.
        let number = self.number.filter(|_| entered).ok_or(NotHere)?;
        let task = task.ok_or(NotHere)?;
        let dictionary = standard::dictionary(event_loop.py()).as_ptr();
        // SAFETY: attached; `number` is known only where `is_proved` holds.
        unsafe {
            let entry = entry(dictionary, number).ok_or(NotHere)?;
            if (*entry).key != event_loop.as_ptr() || (*entry).value.is_null() {
                return Err(NotHere);
            }
            let before = std::mem::replace(&mut (*entry).value, ffi::Py_NewRef(task.as_ptr()));
            Ok(Some(Bound::from_owned_ptr(event_loop.py(), before)))
        }
    }
}

/// Writes or removes the entry the public way; answers where a written one is.
pub(super) fn write(
    event_loop: &Bound<'_, PyAny>,
    task: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Place>> {
    let py = event_loop.py();
    let current = standard::dictionary(py);
    let Some(task) = task else {
        current.del_item(event_loop)?;
        return Ok(None);
    };
    current.set_item(event_loop, task)?;
    // SAFETY: attached, and the layout is proved.
    let found = is_proved(py).then(|| unsafe { locate(current.as_ptr(), event_loop.as_ptr()) });
    Ok(Some(Place { number: found.flatten() }))
}

/// Entry `number` of a dictionary, if it has as many and is of the general kind.
///
/// # Safety
/// Attached, with a dictionary of the layout above.
#[inline]
unsafe fn entry(dictionary: *mut ffi::PyObject, number: isize) -> Option<*mut Entry> {
    // SAFETY: the caller's promise; a table has as many entries as it says.
    unsafe {
        let keys = (*dictionary.cast::<Dictionary>()).keys;
        if (*keys).kind != GENERAL || number >= (*keys).entries {
            return None;
        }
        let index_bytes = 1_usize.checked_shl(u32::from((*keys).log2_index_bytes))?;
        let entries = keys.add(1).byte_add(index_bytes).cast::<Entry>();
        Some(entries.offset(number))
    }
}

/// The number of a key's entry.
///
/// # Safety
/// As for [`entry`].
unsafe fn locate(dictionary: *mut ffi::PyObject, key: *mut ffi::PyObject) -> Option<isize> {
    // SAFETY: the caller's promise.
    unsafe {
        (0..isize::MAX)
            .map_while(|number| entry(dictionary, number).map(|entry| (number, entry)))
            .find(|(_, entry)| (**entry).key == key)
            .map(|(number, _)| number)
    }
}

/// Whether dictionaries of this interpreter have the layout above.
fn is_proved(py: Python<'_>) -> bool {
    static PROVED: OnceLock<bool> = OnceLock::new();
    let proved = || -> PyResult<bool> { Ok(!tricks::are_off() && prove(py).unwrap_or(false)) };
    PROVED.find(py, proved).is_ok_and(|proved| *proved)
}

/// Compares a dictionary, as it grows and shrinks, with what the layout says is in it.
fn prove(py: Python<'_>) -> PyResult<bool> {
    let probe = fresh::dict(py)?;
    let objects = py.import(Text("builtins"))?.getattr(Text("object"))?;
    let keys = (0..20).map(|_| objects.call0()).collect::<PyResult<Vec<_>>>()?;
    for (place, key) in keys.iter().enumerate() {
        let value = objects.call0()?;
        probe.set_item(key, &value)?;
        if place % 3 == 2 {
            probe.del_item(&keys[place - 1])?;
        }
        let dictionary = probe.as_ptr().cast::<Dictionary>();
        // SAFETY: attached; a dictionary object is larger than what is read of it, and the
        // table is looked into only after the head has shown sensible values.
        let found = unsafe {
            if usize::try_from((*dictionary).used) != Ok(probe.len()) {
                return Ok(false);
            }
            locate(probe.as_ptr(), key.as_ptr())
                .and_then(|number| entry(probe.as_ptr(), number))
                .map(|entry| (*entry).value)
        };
        if found != Some(value.as_ptr()) {
            return Ok(false);
        }
    }
    Ok(true)
}
