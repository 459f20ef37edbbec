//! Who watches what a loop does: one flag, looked at once a turn, with each entry that is queued and with each task
//! that begins to wait.
//!
//! | moment | of | told by |
//! | --- | --- | --- |
//! | `queued` | an entry that goes into the queue | [`Loop::push`](super::Loop::push) |
//! | `begins`, `ends` | an entry that is run | the turn |
//! | `parks` | a task that waits, and what it waits for | the task's step |
//!
//! Told are the kind's name and the address of what the entry is about, no code of Python's runs on the way.
//! Only `OUROLOOP_TRACE` uses them yet: the file that it names gets a line for each moment.

use std::fs::File;
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use super::entry::{Entry, Subject};

static ON: AtomicBool = AtomicBool::new(false);
static TRACE: OnceLock<File> = OnceLock::new();

/// Whether anybody watches.
#[inline]
pub(crate) fn are_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Has the file that `OUROLOOP_TRACE` names get a line for each moment from now on.
///
/// # Errors
/// The kernel's, of opening it.
pub(super) fn install() -> std::io::Result<()> {
    let Some(path) = std::env::var_os("OUROLOOP_TRACE").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let file = File::options().create(true).append(true).open(path)?;
    TRACE.get_or_init(|| file);
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
    if let Some(mut trace) = TRACE.get() {
        let _ = trace.write_all(line.as_bytes());
    }
}
