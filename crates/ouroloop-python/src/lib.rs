//! Python's asyncio object model on the Ouroloop engine: the module `ouroloop._native`.

// The floors, the ground first: a room names what stands in an earlier group, and nothing else (`make lint`).

#[macro_use]
mod interpreter;

mod standard;

mod errors;

#[macro_use]
mod native;

mod context;
mod function;
mod turn;

mod handle;

mod future;

mod coroutine;
mod executor;
mod task;

mod transport;
mod waiting;

mod combine;
mod queue;
mod stream;
mod sync;

mod event_loop;

use pyo3::prelude::*;

/// The native half of the package `ouroloop`.
///
/// It takes one attached thread at a time for granted (see `native/cell.rs`): builds without a GIL turn it on
/// when they import this.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    native::first_import::fill(module, || make(module))
}

/// Makes the classes and functions.
fn make(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    interpreter::reserve::keep();
    interpreter::tricks::choose();
    #[cfg(keeps_spares)]
    interpreter::spares::keep(py)?;
    interpreter::names::make(py);
    // Looked up before anything can replace it, `ouroloop.install` above all.
    standard::Standard::get(py)?;
    interpreter::modules::keep(py)?;
    function::install(py)?;
    turn::install(py)?;
    // A class is complete before a class that derives from it is made.
    future::install(py)?;
    task::install(py)?;
    native::slots::install_deallocate::<handle::Handle>(py);
    native::slots::install_deallocate::<handle::TimerHandle>(py);
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
    interpreter::names::make_classes(py);
    module.add_class::<turn::Loop>()?;
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
    module.add_function(wrap_pyfunction!(native::kinship::adopt, module)?)?;
    module.add_function(wrap_pyfunction!(task::registry::live_tasks, module)?)?;
    function::dress(module)?;
    // Whoever patches a class from here on has its methods called.
    sync::remember_methods(py)?;
    queue::remember_methods(py)?;
    stream::remember_methods(py)?;
    #[cfg(keeps_spares)]
    interpreter::spares::rehearse(module)?;
    Ok(())
}
