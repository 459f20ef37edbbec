//! The queue of the loop that drives futures on this thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::event_loop::EventLoop;
use crate::task::entry::{Entry, Mailbox};

/// A loop's turns, and the letter box by which they are known.
#[derive(Clone)]
pub(super) struct Here {
    pub(super) turns: Rc<RefCell<EventLoop<Entry>>>,
    pub(super) mailbox: Arc<Mailbox>,
}

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

/// The loop runs on this thread from now on.
pub(super) fn enter(here: Here) {
    let before = HERE.replace(Some(here));
    drop(before);
}

/// No loop runs here any more.
pub(super) fn leave() {
    let before = HERE.take();
    drop(before);
}

/// Queues an entry directly if the mailbox is that of the loop that runs here.
pub(super) fn queue(mailbox: &Arc<Mailbox>, entry: Entry) -> bool {
    let queued = HERE.try_with(|here| {
        let here = here.borrow();
        let here = here.as_ref().filter(|here| Arc::ptr_eq(&here.mailbox, mailbox));
        here.map(|here| here.turns.borrow_mut().push(entry)).is_some()
    });
    // A waker may outlive its thread's locals; then the loop is gone too.
    queued.unwrap_or(false)
}
