//! Asynchronous generators: finalised by the loop that first iterated them.

use pyo3::exceptions::{PyException, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::Loop;
use crate::coroutine::{Coroutine, Scope, nothing};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::gathered;
use crate::standard::{Standard, warner};

#[pymethods]
impl Loop {
    /// Closes every asynchronous generator that is still alive.
    fn shutdown_asyncgens<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        Coroutine::new(slf.py(), "Loop.shutdown_asyncgens", |scope| close_all(scope, event_loop))
    }

    #[pyo3(name = "_asyncgen_firstiter_hook")]
    fn firstiter_hook(slf: &Bound<'_, Self>, generator: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().state.with(py, |state| state.asyncgens_shut_down) {
            let message = fresh::text(format_args!(
                "asynchronous generator {} was scheduled after loop.shutdown_asyncgens() call",
                generator.repr()?
            ))?;
            let keywords = fresh::dict(py)?;
            keywords.set_item(intern!(py, "source"), slf)?;
            let category = py.get_type::<PyResourceWarning>();
            warner(py)?.call((Text(message), category), Some(&keywords))?;
        }
        Self::asyncgens(slf)?.call_method1(intern!(py, "add"), (generator,)).map(drop)
    }

    #[pyo3(name = "_asyncgen_finalizer_hook")]
    fn finalizer_hook(slf: &Bound<'_, Self>, generator: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        Self::asyncgens(slf)?.call_method1(intern!(py, "discard"), (generator,))?;
        if !slf.get().is_closed(py) {
            let create_task = slf.getattr(intern!(py, "create_task"))?;
            let closing = generator.call_method0(intern!(py, "aclose"))?;
            // The garbage collector runs in any thread.
            let arguments = (create_task, closing);
            slf.call_method1(intern!(py, "call_soon_threadsafe"), arguments)?;
        }
        Ok(())
    }
}

impl Loop {
    /// The weak set of the generators that this loop has to close.
    fn asyncgens<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let known = slf.get().state.with(py, |state| state.asyncgens.clone_ref(py));
        if let Some(set) = known {
            return Ok(set.into_bound(py));
        }
        let set = Standard::get(py)?.weak_set.bind(py).call0()?;
        let kept = set.clone().unbind();
        drop(slf.get().state.with(py, |state| state.asyncgens.replace(kept)));
        Ok(set)
    }

    /// The hooks of this thread, for [`Loop::restore_asyncgen_hooks`].
    pub(super) fn asyncgen_hooks(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let sys = crate::interpreter::modules::module(py, intern!(py, "sys"))?;
        sys.call_method0(intern!(py, "get_asyncgen_hooks"))
    }

    /// Installs the loop's hooks in this thread; an error may leave one of the two.
    pub(super) fn install_asyncgen_hooks(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let sys = crate::interpreter::modules::module(py, intern!(py, "sys"))?;
        let keywords = fresh::dict(py)?;
        let firstiter = slf.getattr(intern!(py, "_asyncgen_firstiter_hook"))?;
        let finalizer = slf.getattr(intern!(py, "_asyncgen_finalizer_hook"))?;
        keywords.set_item(intern!(py, "firstiter"), firstiter)?;
        keywords.set_item(intern!(py, "finalizer"), finalizer)?;
        sys.call_method(intern!(py, "set_asyncgen_hooks"), (), Some(&keywords)).map(drop)
    }

    pub(super) fn restore_asyncgen_hooks(
        py: Python<'_>,
        before: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let sys = crate::interpreter::modules::module(py, intern!(py, "sys"))?;
        let before = before.cast::<PyTuple>()?;
        sys.call_method1(intern!(py, "set_asyncgen_hooks"), before).map(drop)
    }
}

async fn close_all(scope: Scope, event_loop: Py<Loop>) -> PyResult<Py<PyAny>> {
    let gathered = Python::attach(|py| -> PyResult<_> {
        let event_loop = event_loop.bind(py);
        event_loop.get().state.with(py, |state| state.asyncgens_shut_down = true);
        let set = Loop::asyncgens(event_loop)?;
        let generators = gathered(py, set.try_iter()?)?;
        if generators.is_empty() {
            return Ok(None);
        }
        set.call_method0(intern!(py, "clear"))?;
        let closing =
            generators.iter().map(|generator| generator.call_method0(intern!(py, "aclose")));
        let closing = gathered(py, closing)?;
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "return_exceptions"), true)?;
        let gather = Standard::get(py)?.gather.bind(py);
        let gathered = gather.call(fresh::tuple(py, closing)?, Some(&keywords))?;
        let generators: Vec<_> = generators.into_iter().map(Bound::unbind).collect();
        Ok(Some((gathered.unbind(), generators)))
    })?;
    let Some((gathered, generators)) = gathered else {
        return Ok(nothing());
    };
    let results = scope.wait(gathered).await?;
    Python::attach(|py| {
        for (result, generator) in results.bind(py).try_iter()?.zip(generators) {
            let result = result?;
            if result.is_instance_of::<PyException>() {
                let generator = generator.bind(py);
                let shown = generator.repr()?;
                let context = fresh::dict(py)?;
                let message = fresh::text(format_args!(
                    "an error occurred during closing of asynchronous generator {shown}"
                ))?;
                context.set_item(intern!(py, "message"), Text(message))?;
                context.set_item(intern!(py, "exception"), result)?;
                context.set_item(intern!(py, "asyncgen"), generator)?;
                let event_loop = event_loop.bind(py);
                event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
            }
        }
        Ok(py.None())
    })
}
