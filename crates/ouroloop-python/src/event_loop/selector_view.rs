//! What stands in for a loop's selector, to monitors: which descriptors it watches, and for whom.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Loop;
use crate::interpreter::fresh;
use crate::interpreter::room::no_memory;
use crate::turn::{Entry, Subject};

/// `selectors.EVENT_READ` and `EVENT_WRITE`.
const EVENT_READ: u8 = 1;
const EVENT_WRITE: u8 = 2;

/// The questions that a selector answers, without the waiting.
#[pyclass(frozen, name = "_Selector", module = "ouroloop")]
#[derive(Debug)]
pub(super) struct SelectorView {
    event_loop: Py<Loop>,
}

made_at_the_start!(SelectorView);

impl SelectorView {
    /// # Errors
    /// `MemoryError`.
    pub(super) fn of<'py>(event_loop: &Bound<'py, Loop>) -> PyResult<Bound<'py, Self>> {
        Bound::new(event_loop.py(), Self { event_loop: event_loop.clone().unbind() })
    }
}

#[pymethods]
impl SelectorView {
    /// The `selectors.SelectorKey` of each descriptor that the loop watches for transports and programs.
    fn get_map<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let native = self.event_loop.get();
        let mut watched = Vec::new();
        let copied = native.engine.with(py, |engine| {
            for (number, reader, writer) in engine.descriptors() {
                watched.try_reserve(1)?;
                let subject = |entry: Option<&Entry>| entry.map(|entry| entry.subject(py));
                watched.push((number, subject(reader), subject(writer)));
            }
            Ok::<_, std::collections::TryReserveError>(())
        });
        copied.map_err(|_| no_memory(py))?;
        let selectors = py.import(intern!(py, "selectors"))?;
        let key_class = selectors.getattr(intern!(py, "SelectorKey"))?;
        let map = fresh::dict(py)?;
        for (number, reader, writer) in &watched {
            let events = if reader.is_some() { EVENT_READ } else { 0 }
                | if writer.is_some() { EVENT_WRITE } else { 0 };
            let object = |subject: &Option<Option<Subject>>| {
                subject.iter().flatten().next().map_or(Ok(None), |subject| subject.object(py))
            };
            let data = fresh::tuple(py, [object(reader)?, object(writer)?])?;
            let file =
                native.files.with(py, |files| files.get(number).map(|file| file.clone_ref(py)));
            let number = fresh::int(py, (*number).into())?;
            let file = file.map_or_else(|| number.clone().into_any(), |file| file.into_bound(py));
            let key = (file, &number, fresh::int(py, events.into())?, data);
            map.set_item(&number, key_class.call1(key)?)?;
        }
        Ok(map)
    }

    /// The key of one of them, by its number or by its file object.
    fn get_key<'py>(
        &self,
        py: Python<'py>,
        fileobj: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let map = self.get_map(py)?;
        let number = match fileobj.getattr_opt(intern!(py, "fileno"))? {
            Some(fileno) => fileno.call0()?,
            None => fileobj.clone(),
        };
        map.as_any().get_item(number)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)
    }
}
