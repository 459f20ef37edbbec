//! `subprocess_exec` and `subprocess_shell`: a child process with a protocol.
//!
//! The child and the transports of its pipes are made in one step; the coroutine then waits for
//! `connection_made`. Whatever ends that wait otherwise (an error, a cancellation) closes the
//! transport, which kills the child, and waits for the child's end, so that it is reaped.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyString, PyTuple};

use super::Loop;
#[cfg(not(Py_3_14))]
use super::child_watcher::Watcher;
use super::closing::Closing;
use super::keywords::Keywords;
use crate::coroutine::{Coroutine, Scope};
use crate::errors::leaving::leaves_loop;
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::standard::Standard;
use crate::transport::subprocess::{Spawner, SubprocessTransport};

#[pymethods]
impl Loop {
    /// Runs a program; the coroutine answers `(transport, protocol)`. Keyword arguments that are
    /// not named here go to `subprocess.Popen`.
    #[pyo3(
        signature = (protocol_factory, program, *args, **keywords),
        text_signature = "($self, protocol_factory, program, *args, stdin=-1, stdout=-1, stderr=-1, \
            universal_newlines=False, shell=False, bufsize=0, encoding=None, errors=None, \
            text=None, **kwargs)"
    )]
    fn subprocess_exec<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        program: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let words: Vec<_> = std::iter::once(program.clone()).chain(args.iter()).collect();
        let program = fresh::tuple(slf.py(), words)?.into_any();
        let keywords = Keywords::new("Loop.subprocess_exec", keywords);
        let order = Order::new(slf.py(), false, protocol_factory, program, keywords)?;
        let event_loop = slf.clone().unbind();
        Coroutine::new(slf.py(), "Loop.subprocess_exec", |scope| spawn(scope, event_loop, order))
    }

    /// Runs a shell command; the coroutine answers `(transport, protocol)`. Keyword arguments
    /// that are not named here go to `subprocess.Popen`.
    #[pyo3(
        signature = (protocol_factory, cmd, **keywords),
        text_signature = "($self, protocol_factory, cmd, *, stdin=-1, stdout=-1, stderr=-1, \
            universal_newlines=False, shell=True, bufsize=0, encoding=None, errors=None, \
            text=None, **kwargs)"
    )]
    fn subprocess_shell<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        cmd: Bound<'py, PyAny>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let keywords = Keywords::new("Loop.subprocess_shell", keywords);
        let order = Order::new(slf.py(), true, protocol_factory, cmd, keywords)?;
        let event_loop = slf.clone().unbind();
        Coroutine::new(slf.py(), "Loop.subprocess_shell", |scope| spawn(scope, event_loop, order))
    }
}

/// `subprocess.PIPE` and `subprocess.STDOUT`.
const PIPE: i32 = -1;
const STDOUT: i32 = -2;

/// What the caller wants.
#[derive(Debug)]
struct Order {
    through_shell: bool,
    factory: Py<PyAny>,
    /// The shell command, or a tuple of the program and its arguments.
    program: Py<PyAny>,
    streams: [Py<PyAny>; 3],
    universal_newlines: bool,
    shell: bool,
    bufsize: Py<PyAny>,
    encoding: Option<Py<PyAny>>,
    errors: Option<Py<PyAny>>,
    text: bool,
    rest: Py<PyDict>,
}

impl Order {
    fn new<'py>(
        py: Python<'py>,
        through_shell: bool,
        factory: Py<PyAny>,
        program: Bound<'py, PyAny>,
        keywords: Keywords<'py>,
    ) -> PyResult<Self> {
        Ok(Self {
            through_shell,
            factory,
            program: program.unbind(),
            streams: [
                keywords.take_or(py, "stdin", PIPE)?,
                keywords.take_or(py, "stdout", PIPE)?,
                keywords.take_or(py, "stderr", PIPE)?,
            ],
            universal_newlines: keywords.take_flag("universal_newlines", false)?,
            shell: keywords.take_flag("shell", through_shell)?,
            bufsize: keywords.take_or(py, "bufsize", 0)?,
            encoding: keywords.take("encoding")?,
            errors: keywords.take("errors")?,
            text: keywords.take_flag("text", false)?,
            rest: keywords.rest(py)?.unbind(),
        })
    }

    /// # Errors
    /// `ValueError` for what pipes of bytes cannot do.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        let program = self.program.bind(py);
        let complaint = if self.through_shell && !is_text(program) {
            "cmd must be a string"
        } else if self.universal_newlines {
            "universal_newlines must be False"
        } else if self.shell != self.through_shell {
            if self.through_shell { "shell must be True" } else { "shell must be False" }
        } else if self.bufsize.bind(py).ne(0)? {
            "bufsize must be 0"
        } else if self.text {
            "text must be False"
        } else if self.encoding.is_some() {
            "encoding must be None"
        } else if self.errors.is_some() {
            "errors must be None"
        } else {
            return Ok(());
        };
        Err(fresh::error::<PyValueError>(complaint))
    }

    /// What debug mode calls the order; the arguments may be secret, and long.
    fn describe(&self, py: Python<'_>) -> PyResult<String> {
        let program = self.program.bind(py);
        Ok(if self.through_shell {
            fresh::text(format_args!("run shell command {}", program.repr()?))?
        } else {
            fresh::text(format_args!("execute program {}", program.get_item(0)?.repr()?))?
        })
    }

    fn log(&self, py: Python<'_>, description: &str) -> PyResult<()> {
        let [stdin, stdout, stderr] = self.streams.each_ref().map(|stream| stream.bind(py));
        let mut words = vec![String::from(description)];
        if !stdin.is_none() {
            words.push(fresh::text(format_args!("stdin={}", describe_stream(stdin)?))?);
        }
        if !stdout.is_none() && stderr.eq(STDOUT)? {
            words.push(fresh::text(format_args!("stdout=stderr={}", describe_stream(stdout)?))?);
        } else {
            for (name, stream) in [("stdout", stdout), ("stderr", stderr)] {
                if !stream.is_none() {
                    words.push(fresh::text(format_args!("{name}={}", describe_stream(stream)?))?);
                }
            }
        }
        let logger = Standard::get(py)?.logger.bind(py);
        logger.call_method1(intern!(py, "debug"), (fresh::listed(&words, " ")?,)).map(drop)
    }
}

fn is_text(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>()
}

fn describe_stream(stream: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(if stream.eq(PIPE)? {
        String::from("<pipe>")
    } else if stream.eq(STDOUT)? {
        String::from("<stdout>")
    } else {
        fresh::content(&stream.repr()?)?
    })
}

async fn spawn(scope: Scope, event_loop: Py<Loop>, order: Order) -> PyResult<Py<PyAny>> {
    let (protocol, description) = Python::attach(|py| -> PyResult<_> {
        order.check(py)?;
        let protocol = order.factory.call0(py)?;
        if !event_loop.bind(py).get().is_debug(py) {
            return Ok((protocol, None));
        }
        let description = order.describe(py)?;
        order.log(py, &description)?;
        Ok((protocol, Some(description)))
    })?;
    let transport = make(&scope, &event_loop, &order, &protocol).await?;
    Python::attach(|py| {
        if let Some(description) = &description {
            let logger = Standard::get(py)?.logger.bind(py);
            let arguments = (intern!(py, "%s: %r"), Text(description), transport.bind(py));
            logger.call_method1(intern!(py, "info"), arguments)?;
        }
        Ok(fresh::pack!(py, transport.keep(py), protocol).into_any().unbind())
    })
}

/// A connected transport, made in the company of the program's child watcher.
#[cfg(not(Py_3_14))]
async fn make(
    scope: &Scope,
    event_loop: &Py<Loop>,
    order: &Order,
    protocol: &Py<PyAny>,
) -> PyResult<Closing> {
    let watcher = Python::attach(Watcher::enter)?;
    let watch = |transport: &Bound<'_, SubprocessTransport>| match &watcher {
        Some(watcher) => watcher.watch(transport),
        None => SubprocessTransport::watch_exit(transport),
    };
    let made = make_watched(scope, event_loop, order, protocol, watch).await;
    if let Some(watcher) = watcher {
        Python::attach(|py| watcher.leave(py, made.as_ref().err()))?;
    }
    made
}

/// A connected transport.
#[cfg(Py_3_14)]
async fn make(
    scope: &Scope,
    event_loop: &Py<Loop>,
    order: &Order,
    protocol: &Py<PyAny>,
) -> PyResult<Closing> {
    make_watched(scope, event_loop, order, protocol, SubprocessTransport::watch_exit).await
}

async fn make_watched(
    scope: &Scope,
    event_loop: &Py<Loop>,
    order: &Order,
    protocol: &Py<PyAny>,
    watch: impl FnOnce(&Bound<'_, SubprocessTransport>) -> PyResult<()>,
) -> PyResult<Closing> {
    let (transport, waiter) = Python::attach(|py| {
        let given = protocol.clone_ref(py);
        let (transport, waiter) = start(event_loop.bind(py), order, given)?;
        let closing = Closing::new(transport.clone().into_any().unbind());
        watch(&transport)?;
        Ok::<_, PyErr>((closing, waiter))
    })?;
    let connected = connect(scope, event_loop, &transport, waiter).await;
    if let Err(error) = connected {
        let waits = Python::attach(|py| -> PyResult<_> {
            if leaves_loop(py, &error) {
                return Ok(None);
            }
            let transport = transport.bind(py);
            transport.call_method0(intern!(py, "close"))?;
            transport.call_method0(intern!(py, "_wait")).map(|wait| Some(wait.unbind()))
        })?;
        if let Some(wait) = waits {
            scope.wait(wait).await?;
        }
        return Err(error);
    }
    Ok(transport)
}

/// Spawns the child; the second is what to wait for.
fn start<'py>(
    event_loop: &Bound<'py, Loop>,
    order: &Order,
    protocol: Py<PyAny>,
) -> PyResult<(Bound<'py, SubprocessTransport>, Py<PyAny>)> {
    let py = event_loop.py();
    let program = order.program.bind(py);
    let spawner = if order.through_shell { Spawner::Shell } else { Spawner::Exec };
    let process = spawner.spawn(
        program,
        order.streams.each_ref(),
        &order.bufsize,
        order.rest.bind(py).clone(),
    )?;
    let waiter = Future::create(event_loop)?;
    let kept = waiter.clone().unbind();
    let transport = SubprocessTransport::of(event_loop, &process, protocol, kept)?;
    if event_loop.get().is_debug(py) {
        let program = if order.through_shell { program.clone() } else { program.get_item(0)? };
        let pid = process.getattr(intern!(py, "pid"))?;
        let logger = Standard::get(py)?.logger.bind(py);
        let arguments = ("process %r created: pid %s", program, pid);
        logger.call_method1(intern!(py, "debug"), arguments)?;
    }
    Ok((transport, waiter.into_any().unbind()))
}

/// Connects the child's pipes and waits until the protocol is about to hear of it.
async fn connect(
    scope: &Scope,
    event_loop: &Py<Loop>,
    transport: &Closing,
    waiter: Py<PyAny>,
) -> PyResult<()> {
    let connected = connect_pipes(scope, event_loop, transport).await;
    if connected.is_err() {
        Python::attach(|py| SubprocessTransport::give_up_pipes(child(transport, py)))?;
    }
    connected?;
    scope.wait(waiter).await.map(drop)
}

/// By the loop's own methods where a program has put others in their place.
async fn connect_pipes(scope: &Scope, event_loop: &Py<Loop>, transport: &Closing) -> PyResult<()> {
    let streams = Python::attach(|py| -> PyResult<_> {
        let transport = child(transport, py);
        let streams = transport.get().expected_streams(py);
        for stream in &streams {
            let method = event_loop.bind(py).getattr(method_for(*stream))?;
            if !method.is_instance_of::<PyCFunction>() {
                return Ok(streams);
            }
        }
        SubprocessTransport::connect_natively(transport)?;
        Ok(Vec::new())
    })?;
    if streams.is_empty() {
        return Ok(());
    }
    for stream in streams {
        let connecting = Python::attach(|py| -> PyResult<_> {
            let transport = child(transport, py);
            let protocol = SubprocessTransport::pipe_protocol(transport, stream)?;
            let given = protocol.clone().unbind();
            let factory = PyCFunction::new_closure(
                py,
                None,
                None,
                move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
                    Ok::<_, PyErr>(given.clone_ref(args.py()))
                },
            )?;
            let file = SubprocessTransport::file(transport, stream)?;
            let method = event_loop.bind(py).getattr(method_for(stream))?;
            Ok((method.call1((factory, file))?.unbind(), protocol.unbind()))
        })?;
        let (connecting, protocol) = connecting;
        scope.wait(connecting).await?;
        Python::attach(|py| {
            SubprocessTransport::connect(child(transport, py), stream, protocol.bind(py));
        });
    }
    Python::attach(|py| SubprocessTransport::all_connected(child(transport, py)));
    Ok(())
}

/// The transport that is on its way.
fn child<'a, 'py>(transport: &'a Closing, py: Python<'py>) -> &'a Bound<'py, SubprocessTransport> {
    // SAFETY: `spawn` puts nothing else there.
    unsafe { transport.bind(py).cast_unchecked() }
}

fn method_for(stream: usize) -> &'static str {
    if stream == 0 { "connect_write_pipe" } else { "connect_read_pipe" }
}
