//! Where the standard module keeps the running task of a loop, written without a call.
//!
//! Every step writes it, so it has to be cheap, and everybody reads it (`asyncio.current_task`, C
//! tasks that check who runs), so it has to be in the standard place:
//!
//! * up to 3.13 a dictionary from loop to task, `asyncio.tasks._current_tasks`. The first step
//!   goes through `PyDict_SetItem`; the following ones exchange the value of the entry in place.
//! * from 3.14 on a field of the thread's state, behind the one for the running loop.
//!
//! Neither place has a public address. Both are found by writing a known object the public way and
//! looking for it (see `prove` and `find`); where it is not found, every write is a public call.

use pyo3::prelude::*;

use super::Task;
use crate::cell::AttachedCell;
#[cfg(Py_3_14)]
use crate::event_loop::Loop;

#[cfg(not(Py_3_14))]
use dictionary as place;
#[cfg(Py_3_14)]
use thread_state as place;

/// The running task of one loop, as native steps write it.
///
/// A native step leaves its entry in place, because usually the next callback is a native step too
/// and overwrites it; [`Current::leave`] takes it away.
#[derive(Debug)]
pub(crate) struct Current {
    entered: AttachedCell<bool>,
    place: AttachedCell<place::Place>,
}

impl Current {
    pub(crate) const fn new() -> Self {
        Self { entered: AttachedCell::new(false), place: AttachedCell::new(place::Place::UNKNOWN) }
    }

    /// The loop begins to run in this thread, whose state holds the place.
    ///
    /// # Errors
    /// What the standard module's functions raise.
    #[cfg(Py_3_14)]
    pub(crate) fn begin_run(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        self.place.set(py, place::Place::of(event_loop)?);
        Ok(())
    }

    /// Writes `task` as the running one, for a step from the ready queue.
    ///
    /// # Errors
    /// `RuntimeError` if `event_loop` is not the running loop (3.14).
    #[inline]
    pub(crate) fn enter(
        &self,
        event_loop: &Bound<'_, PyAny>,
        task: &Bound<'_, Task>,
    ) -> PyResult<()> {
        let py = event_loop.py();
        let entered = self.entered.replace(py, true);
        let before = self.place.with(py, |place| place.exchange(event_loop, task, entered));
        if let Some(before) = before {
            drop(before);
            return Ok(());
        }
        let place = place::write(event_loop, Some(task))?;
        if let Some(place) = place {
            self.place.set(py, place);
        }
        Ok(())
    }

    /// The running task of any kind, if one runs and the place is known.
    #[cfg(Py_3_14)]
    #[inline]
    pub(crate) fn read<'py>(&self, event_loop: &Bound<'py, Loop>) -> Option<Bound<'py, PyAny>> {
        self.place.with(event_loop.py(), |place| place.read(event_loop.as_any()))
    }

    /// No native step runs from here on.
    ///
    /// # Errors
    /// As [`Current::enter`].
    #[inline]
    pub(crate) fn leave(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.entered.replace(event_loop.py(), false) {
            place::write(event_loop, None)?;
        }
        Ok(())
    }
}

#[cfg(not(Py_3_14))]
mod dictionary {
    use std::sync::OnceLock;

    use pyo3::ffi;
    use pyo3::prelude::*;
    use pyo3::types::PyDict;

    use crate::task::{Task, registry};

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
            task: &Bound<'py, Task>,
            entered: bool,
        ) -> Option<Bound<'py, PyAny>> {
            let number = self.number.filter(|_| entered)?;
            let dictionary = registry::current_tasks(event_loop.py()).as_ptr();
            // SAFETY: attached; `number` is known only where `is_proved` holds.
            unsafe {
                let entry = entry(dictionary, number)?;
                if (*entry).key != event_loop.as_ptr() || (*entry).value.is_null() {
                    return None;
                }
                let before = std::mem::replace(&mut (*entry).value, ffi::Py_NewRef(task.as_ptr()));
                Some(Bound::from_owned_ptr(event_loop.py(), before))
            }
        }
    }

    /// Writes or removes the entry the public way; answers where a written one is.
    pub(super) fn write(
        event_loop: &Bound<'_, PyAny>,
        task: Option<&Bound<'_, Task>>,
    ) -> PyResult<Option<Place>> {
        let py = event_loop.py();
        let current = registry::current_tasks(py);
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
        *PROVED.get_or_init(|| prove(py).unwrap_or(false))
    }

    /// Compares a dictionary, as it grows and shrinks, with what the layout says is in it.
    fn prove(py: Python<'_>) -> PyResult<bool> {
        let probe = PyDict::new(py);
        let objects = py.import("builtins")?.getattr("object")?;
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
}

#[cfg(Py_3_14)]
mod thread_state {
    use std::sync::OnceLock;

    use pyo3::ffi;
    use pyo3::prelude::*;

    use crate::task::{Task, registry};

    /// No further than this many words into the thread's state are the fields looked for.
    const WORDS: usize = 256;

    /// The two fields of the thread in which the loop runs.
    #[derive(Debug)]
    pub(super) struct Place {
        running_loop: *mut *mut ffi::PyObject,
        thread: *mut ffi::PyThreadState,
    }

    impl Place {
        pub(super) const UNKNOWN: Self =
            Self { running_loop: std::ptr::null_mut(), thread: std::ptr::null_mut() };

        /// The fields of this thread, in which `event_loop` runs.
        pub(super) fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
            static OFFSET: OnceLock<Option<usize>> = OnceLock::new();
            let offset = match OFFSET.get() {
                Some(offset) => *offset,
                None => {
                    let found = find(event_loop)?;
                    *OFFSET.get_or_init(|| found)
                }
            };
            let Some(offset) = offset else { return Ok(Self::UNKNOWN) };
            // SAFETY: attached.
            let thread = unsafe { ffi::PyThreadState_Get() };
            // SAFETY: the offset was found in the state of a thread.
            let running_loop = unsafe { thread.cast::<*mut ffi::PyObject>().add(offset) };
            Ok(Self { running_loop, thread })
        }

        /// Exchanges the running task, if `event_loop` is the running loop.
        #[inline]
        pub(super) fn exchange<'py>(
            &self,
            event_loop: &Bound<'py, PyAny>,
            task: &Bound<'py, Task>,
            _entered: bool,
        ) -> Option<Option<Bound<'py, PyAny>>> {
            if self.running_loop.is_null() {
                return None;
            }
            // SAFETY: the loop runs in the thread of this state, which is attached; the second
            // field owns a reference or is null.
            unsafe {
                if *self.running_loop != event_loop.as_ptr() {
                    return None;
                }
                let field = self.running_loop.add(1);
                let before = std::mem::replace(&mut *field, ffi::Py_NewRef(task.as_ptr()));
                Some(Bound::from_owned_ptr_or_opt(event_loop.py(), before))
            }
        }
    }

    impl Place {
        /// The running task, if `event_loop` is the running loop.
        #[inline]
        pub(super) fn read<'py>(
            &self,
            event_loop: &Bound<'py, PyAny>,
        ) -> Option<Bound<'py, PyAny>> {
            let py = event_loop.py();
            // SAFETY: attached. The place belongs to the state of the thread in which the loop
            // ran last: it is read only if that is this thread's.
            unsafe {
                if self.running_loop.is_null() || self.thread != ffi::PyThreadState_Get() {
                    return None;
                }
                if *self.running_loop != event_loop.as_ptr() {
                    return None;
                }
                Bound::from_borrowed_ptr_or_opt(py, *self.running_loop.add(1))
            }
        }
    }

    /// Writes the running task the public way.
    pub(super) fn write(
        event_loop: &Bound<'_, PyAny>,
        task: Option<&Bound<'_, Task>>,
    ) -> PyResult<Option<Place>> {
        let py = event_loop.py();
        let none = py.None().into_bound(py);
        registry::swap_current(event_loop, task.map_or(&none, |task| task.as_any()))?;
        Ok(None)
    }

    /// How many words into its thread's state the running loop stands, the running task behind it
    /// and owned.
    fn find(event_loop: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let py = event_loop.py();
        let probe = py.import("builtins")?.getattr("object")?.call0()?;
        // SAFETY: attached; the object is alive.
        let references = || unsafe { ffi::Py_REFCNT(probe.as_ptr()) };
        let before = references();
        registry::swap_current(event_loop, &probe)?;
        let owned = references() == before + 1;
        // SAFETY: attached; the fields are within the first words of the state, which is longer.
        let state = unsafe {
            std::slice::from_raw_parts(
                ffi::PyThreadState_Get().cast::<*mut ffi::PyObject>().cast_const(),
                WORDS,
            )
        };
        let found = state
            .windows(2)
            .position(|pair| pair[0] == event_loop.as_ptr() && pair[1] == probe.as_ptr());
        registry::swap_current(event_loop, py.None().bind(py))?;
        Ok(found.filter(|_| owned))
    }
}
