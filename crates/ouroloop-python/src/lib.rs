//! Python's asyncio object model on the Ouroloop engine: the module `ouroloop._native`.

#[macro_use]
mod names;
mod binding;
mod callback;
mod cell;
mod combine;
mod constructor;
mod containment;
mod context;
#[macro_use]
mod copying;
mod contract;
mod coroutine;
mod embedded;
mod event_loop;
mod executor;
mod first_import;
mod fresh;
mod function;
mod future;
mod handle;
mod handled;
mod instance_dict;
mod kinship;
#[cfg(ouroloop_check_lent)]
mod lent;
mod live_dict;
mod method;
mod modules;
mod once;
mod os_error;
mod overrides;
mod pending;
mod queue;
mod recursion;
mod room;
mod shelf;
mod slots;
#[cfg(keeps_spares)]
mod spares;
mod standard;
mod stream;
mod substitutes;
mod sync;
mod task;
#[cfg(unwinds_threads)]
mod thread_end;
mod transport;
mod trashcan;
mod tricks;
mod waiter;
#[cfg(not(Py_3_13))]
mod written;

use pyo3::prelude::*;

/// The native half of the package `ouroloop`.
///
/// It takes one attached thread at a time for granted (see `cell.rs`): builds without a GIL turn it on
/// when they import this.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    first_import::fill(module, || make(module))
}

/// Makes the classes and functions.
fn make(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    tricks::choose();
    #[cfg(keeps_spares)]
    spares::keep(py)?;
    names::make(py);
    // Looked up before anything can replace it, `ouroloop.install` above all.
    standard::Standard::get(py)?;
    modules::keep(py)?;
    function::install(py)?;
    // A class is complete before a class that derives from it is made.
    future::install(py)?;
    task::install(py)?;
    slots::install_deallocate::<handle::Handle>(py);
    slots::install_deallocate::<handle::TimerHandle>(py);
    coroutine::install(py)?;
    event_loop::install(py)?;
    sync::install(py)?;
    queue::install(py)?;
    combine::install(py);
    stream::install(py)?;
    transport::socket::install(py)?;
    transport::datagram::install(py);
    transport::server::install(py);
    transport::pipe::install(py);
    transport::subprocess::install(py);
    transport::tls::install(py);
    names::make_classes(py);
    module.add_class::<event_loop::Loop>()?;
    module.add_class::<future::Future>()?;
    module.add_class::<task::Task>()?;
    module.add_class::<handle::Handle>()?;
    module.add_class::<handle::TimerHandle>()?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<queue::PriorityQueue>()?;
    module.add_class::<queue::LifoQueue>()?;
    module.add_class::<transport::server::Server>()?;
    module.add_class::<transport::socket::SocketTransport>()?;
    module.add_class::<transport::datagram::DatagramTransport>()?;
    module.add_class::<transport::pipe::ReadPipeTransport>()?;
    module.add_class::<transport::pipe::WritePipeTransport>()?;
    module.add_class::<transport::subprocess::SubprocessTransport>()?;
    module.add_class::<transport::subprocess::PipeProtocol>()?;
    module.add_class::<sync::Lock>()?;
    module.add_class::<sync::Event>()?;
    module.add_class::<sync::Condition>()?;
    module.add_class::<sync::Semaphore>()?;
    module.add_class::<sync::BoundedSemaphore>()?;
    module.add_class::<sync::Barrier>()?;
    combine::export(module)?;
    stream::export(module)?;
    module.add_function(wrap_pyfunction!(transport::tls::tls_engine, module)?)?;
    module.add_function(wrap_pyfunction!(kinship::adopt, module)?)?;
    module.add_function(wrap_pyfunction!(task::registry::live_tasks, module)?)?;
    function::dress(module)?;
    // Whoever patches a class from here on has its methods called.
    sync::remember_methods(py)?;
    queue::remember_methods(py)?;
    stream::remember_methods(py)?;
    #[cfg(keeps_spares)]
    spares::rehearse(module)?;
    Ok(())
}
