//! The `__dict__` of what asyncio writes in Python: primitives, queues, readers and timeouts.
//!
//! Asyncio's keep all that they are in there, and programs go by it: `self.__dict__.update(state)` in a
//! `__setstate__`, `vars(queue)` in a log. Ours answer a dictionary that shows the native attributes beside those
//! that the program has put on the object, as they are at the moment, and sets either. Access to an attribute
//! never comes here.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyKeyError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::interpreter::fresh::{self, Text, pack};
use crate::interpreter::recursion::Level;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict;
use crate::standard::Standard;

/// Attributes with those who wait.
pub(crate) const WAITERS: [&str; 3] = ["_waiters", "_getters", "_putters"];

/// What a class of ours keeps outside its dictionary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Native {
    /// The names, each of an attribute that can be read.
    pub(crate) names: &'static [&'static str],
    /// Sets them, and the program's own.
    pub(crate) restore: fn(&Bound<'_, PyAny>, &Bound<'_, PyDict>) -> PyResult<()>,
}

impl Native {
    /// The native attributes, and those that a program has put on the object.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn all<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let py = object.py();
        let _level = Level::enter(py)?;
        let all = fresh::dict(py)?;
        for name in self.names {
            // Asyncio's finds an unset `_loop` in the class.
            if let Some(value) = object.getattr_opt(Text(name))?
                && (*name != "_loop" || !value.is_none())
            {
                let nobody = WAITERS.contains(name) && !value.is_truthy()?;
                let empty = || Standard::get(py)?.deque.bind(py).call0();
                all.set_item(Text(name), if nobody { empty()? } else { value })?;
            }
        }
        if let Some(own) = own(object) {
            for (name, value) in fresh::items(&own)? {
                all.set_item(name, value)?;
            }
        }
        Ok(all)
    }

    fn has(&self, name: &Bound<'_, PyAny>) -> bool {
        name.cast::<PyString>().is_ok_and(|name| self.names.contains(&&*name.to_string_lossy()))
    }
}

/// What a program has put on an object of a class with [`Native`] attributes.
pub(crate) fn own<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    // SAFETY: every such class has a dictionary.
    unsafe { instance_dict::peek(object) }
}

/// The attributes of an object, live.
///
/// The dictionary that this is derived from has a copy of the program's own: the interpreter looks at its
/// size before it asks for the keys.
#[pyclass(frozen, extends = PyDict, name = "_LiveDict", module = "ouroloop")]
pub(crate) struct LiveDict {
    object: AttachedCell<Option<Py<PyAny>>>,
    native: Native,
}

made_at_the_start!(LiveDict);

impl LiveDict {
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn of<'py>(
        object: &Bound<'py, PyAny>,
        native: Native,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kept = AttachedCell::new(Some(object.clone().unbind()));
        let attributes = Bound::new(object.py(), Self { object: kept, native })?;
        if let Some(own) = own(object) {
            attributes.as_super().update(own.as_mapping())?;
        }
        Ok(attributes.into_any())
    }

    /// Has an object consist of `attributes` and nothing else.
    ///
    /// # Errors
    /// `TypeError` if they are no dictionary; what a setter raises.
    pub(crate) fn replace(
        object: &Bound<'_, PyAny>,
        attributes: &Bound<'_, PyAny>,
        native: Native,
    ) -> PyResult<()> {
        let Ok(attributes) = attributes.cast::<PyDict>() else {
            let kind = attributes.get_type().name()?;
            let message =
                fresh::text(format_args!("__dict__ must be set to a dictionary, not a '{kind}'"))?;
            return Err(fresh::error::<pyo3::exceptions::PyTypeError>(message));
        };
        let attributes = plain(attributes.as_any())?;
        if let Some(own) = own(object) {
            own.clear();
        }
        (native.restore)(object, &attributes)
    }

    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let object = self.object.with(py, |object| Some(object.as_ref()?.clone_ref(py)));
        let object = object.ok_or_else(|| fresh::error::<PyKeyError>("the object is gone"))?;
        Ok(object.into_bound(py))
    }

    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.native.all(&self.object(py)?)
    }

    /// Sets what `change` makes of a copy, and answers what that does.
    fn change<'py, T>(
        &self,
        py: Python<'py>,
        change: impl FnOnce(&Bound<'py, PyDict>) -> PyResult<T>,
    ) -> PyResult<T> {
        let object = self.object(py)?;
        let before = self.native.all(&object)?;
        let after = before.copy()?;
        let answer = change(&after)?;
        let changed = fresh::dict(py)?;
        for (name, value) in fresh::items(&after)? {
            if before.get_item(&name)?.is_none_or(|before| !before.is(&value)) {
                changed.set_item(name, value)?;
            }
        }
        for (name, _) in fresh::items(&before)? {
            match own(&object) {
                _ if after.contains(&name)? => {}
                Some(own) if own.contains(&name)? => own.del_item(&name)?,
                _ => object.delattr(name.cast::<PyString>()?)?,
            }
        }
        (self.native.restore)(&object, &changed)?;
        Ok(answer)
    }
}

/// A dictionary proper.
fn plain<'py>(attributes: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = attributes.py();
    match attributes.cast::<LiveDict>() {
        Ok(attributes) => attributes.get().all(py),
        Err(_) => Ok(py.get_type::<PyDict>().call1((attributes,))?.cast_into()?),
    }
}

#[pymethods]
impl LiveDict {
    fn __getitem__<'py>(&self, name: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = name.py();
        self.all(py)?.get_item(&name)?.ok_or_else(|| PyKeyError::new_err(name.unbind()))
    }

    fn __setitem__<'py>(&self, name: Bound<'py, PyAny>, value: Bound<'py, PyAny>) -> PyResult<()> {
        let object = self.object(name.py())?;
        if self.native.has(&name) {
            let one = fresh::dict(name.py())?;
            one.set_item(name, value)?;
            return (self.native.restore)(&object, &one);
        }
        instance_dict::get(&object)?.set_item(name, value)
    }

    fn __delitem__(&self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(name.py(), |all| all.as_any().del_item(name))
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.all(name.py())?.contains(name)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.all(py)?.len())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.all(py)?.as_any().try_iter()?.into_any())
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.all(py)?.call_method0(intern!(py, "__reversed__"))
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.all(py)?.repr()
    }

    fn __richcmp__<'py>(
        &self,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let all = self.all(other.py())?;
        match other.cast::<Self>() {
            Ok(other) => all.rich_compare(other.get().all(other.py())?, op),
            Err(_) => all.rich_compare(other, op),
        }
    }

    fn __or__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.all(other.py())?.as_any().bitor(other)
    }

    fn __ror__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        other.bitor(self.all(other.py())?)
    }

    fn __ior__(&self, other: &Bound<'_, PyAny>) -> PyResult<()> {
        let other = plain(other)?;
        self.change(other.py(), |all| all.update(other.as_mapping()))
    }

    /// Copies and pickles are dictionaries.
    fn __reduce_ex__<'py>(&self, protocol: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        let py = protocol.py();
        Ok(pack!(py, py.get_type::<PyDict>(), pack!(py, self.all(py)?)))
    }

    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.all(py)
    }

    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.all(py)?.call_method0(intern!(py, "keys"))
    }

    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.all(py)?.call_method0(intern!(py, "values"))
    }

    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.all(py)?.call_method0(intern!(py, "items"))
    }

    #[pyo3(signature = (*args))]
    fn get<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.all(args.py())?.call_method1(intern!(args.py(), "get"), args)
    }

    #[pyo3(signature = (*args))]
    fn pop<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.change(args.py(), |all| all.call_method1(intern!(args.py(), "pop"), args))
    }

    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.change(py, |all| all.call_method0(intern!(py, "popitem")))
    }

    #[pyo3(signature = (*args))]
    fn setdefault<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.change(args.py(), |all| all.call_method1(intern!(args.py(), "setdefault"), args))
    }

    #[pyo3(signature = (*args, **names))]
    fn update<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        names: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        self.change(args.py(), |all| {
            all.call_method(intern!(args.py(), "update"), args, names).map(drop)
        })
    }

    /// What is native cannot be taken away.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(own) = own(&self.object(py)?) {
            own.clear();
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe { self.object.traverse(|object| visit.call(object)) }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.object.with(unsafe { Python::assume_attached() }, Option::take));
    }
}
