//! Who watches what a loop does: one flag, looked at once a turn, with each entry that is queued and with each task
//! that begins to wait.
//!
//! | moment | of | told by |
//! | --- | --- | --- |
//! | `queued` | an entry that code puts into the queue; descriptors and timers come to it by themselves | [`Loop::push`](super::Loop::push) |
//! | `begins`, `ends` | an entry that is run | the turn |
//! | `parks` | a task that waits, and what it waits for | the task's step |
//!
//! Told are the kind's name and the address of what the entry is about, no code of Python's runs on the way.
//! Only `OUROLOOP_TRACE` uses them yet: the file that it names gets a line for each moment.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use super::entry::{Entry, Subject};

const VARIABLE: &str = "OUROLOOP_TRACE";

static ON: AtomicBool = AtomicBool::new(false);
static TRACE: OnceLock<Trace> = OnceLock::new();

/// The file that gets the lines, and which it is: a program that closes descriptors it does not know may have given
/// its number to another one since.
struct Trace {
    file: File,
    device: u64,
    inode: u64,
}

impl Trace {
    fn open(path: &OsStr) -> io::Result<Self> {
        // A pipe that nobody reads is refused instead of waited for.
        let flags = libc::O_NONBLOCK;
        let file = File::options().create(true).append(true).custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        Ok(Self { device: found.dev(), inode: found.ino(), file })
    }

    fn is_there(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }
}

/// Whether anybody watches.
#[inline]
pub(crate) fn are_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Has the file that `OUROLOOP_TRACE` names get a line for each moment from now on.
///
/// # Errors
/// `OSError` if it cannot be opened.
pub(super) fn install() -> PyResult<()> {
    let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let trace = Trace::open(&path).map_err(|error| {
        let text = format!("{VARIABLE} names a file that cannot be written: {error}");
        PyOSError::new_err((error.raw_os_error(), text, path.clone()))
    })?;
    TRACE.get_or_init(|| trace);
    ON.store(true, Ordering::Relaxed);
    Ok(())
}

/// What happens to an entry, before it does.
#[derive(Debug)]
pub(crate) struct Seen {
    kind: &'static str,
    /// Nobody's address for what Python does not know.
    subject: usize,
}

impl Seen {
    #[cold]
    #[inline(never)]
    pub(crate) fn of(py: Python<'_>, entry: &Entry) -> Self {
        let subject = match entry.subject(py) {
            Some(Subject::Object(object) | Subject::Callable(object, _)) => object.as_ptr().addr(),
            Some(Subject::Name(_)) | None => 0,
        };
        Self { kind: entry.kind.name, subject }
    }

    pub(crate) fn queued(&self) {
        self.tell("queued");
    }

    pub(crate) fn begins(&self) {
        self.tell("begins");
    }

    pub(crate) fn ends(&self) {
        self.tell("ends");
    }

    fn tell(&self, moment: &str) {
        write(&format!("{moment} {} {:#x}\n", self.kind, self.subject));
    }
}

/// A task begins to wait.
#[cold]
#[inline(never)]
pub(crate) fn parks(task: &Bound<'_, PyAny>, awaited: &Bound<'_, PyAny>) {
    let (task, awaited) = (task.as_ptr().addr(), awaited.as_ptr().addr());
    write(&format!("parks task {task:#x} {awaited:#x}\n"));
}

/// One line in one system call, so that those of several threads and processes do not mix. A file that takes no more
/// changes nothing for the program.
fn write(line: &str) {
    if let Some(trace) = TRACE.get().filter(|trace| trace.is_there()) {
        let _ = (&trace.file).write_all(line.as_bytes());
    }
}
