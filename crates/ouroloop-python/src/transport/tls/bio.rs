//! BIOs that stand between OpenSSL and the memory BIOs that Python gave it, and lend it memory for a step.
//!
//! A memory BIO copies what goes in, fills its memory with zeros first, and copies again what comes out.
//! During a step, memory can be lent to OpenSSL instead: it takes ciphertext from where the socket put it,
//! and puts it where the socket takes it from. At all other times these BIOs pass on to the memory BIOs,
//! so that whoever uses Python's objects finds everything there.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::library::Library;
use crate::errors::containment::contained_natively;

/// OpenSSL's mark of a class of BIOs that has bytes of its own.
const BIO_TYPE_SOURCE_SINK: c_int = 0x0400;
/// The flags of a step: read, write, special, retry.
const BIO_FLAGS: c_int = 0x0f;

/// The two classes of BIOs, made once, and the library that they belong to.
#[derive(Debug)]
struct Methods {
    library: &'static Library,
    source: NonNull<c_void>,
    sink: NonNull<c_void>,
}

// SAFETY: OpenSSL only reads them once they are made.
unsafe impl Send for Methods {}
// SAFETY: as above.
unsafe impl Sync for Methods {}

static METHODS: OnceLock<Option<Methods>> = OnceLock::new();

impl Methods {
    fn new(library: &'static Library) -> Option<Self> {
        // SAFETY: the names are terminated and static; the functions have the types that OpenSSL's
        // headers ask for, and a method of NULL goes no further.
        unsafe {
            let kind = (library.BIO_get_new_index)() | BIO_TYPE_SOURCE_SINK;
            let source = NonNull::new((library.BIO_meth_new)(kind, c"lent bytes".as_ptr()))?;
            let sink = NonNull::new((library.BIO_meth_new)(kind, c"lent room".as_ptr()))?;
            (library.BIO_meth_set_read)(source.as_ptr(), give);
            (library.BIO_meth_set_ctrl)(source.as_ptr(), control);
            (library.BIO_meth_set_write)(sink.as_ptr(), take);
            (library.BIO_meth_set_ctrl)(sink.as_ptr(), control);
            Some(Self { library, source, sink })
        }
    }
}

/// The data of a BIO: the memory BIO behind it, and what is lent in its stead.
#[derive(Debug)]
struct BioData {
    memory: NonNull<c_void>,
    /// What is left of it: bytes for OpenSSL to take, or room for it to fill.
    lent: Cell<NonNull<[u8]>>,
    /// How many bytes were taken or filled.
    moved: Cell<usize>,
}

impl BioData {
    /// Lends memory to `step`; answers how much of it has been used. A step may lend again once all is used.
    fn lend<T>(&self, lent: NonNull<[u8]>, step: impl FnOnce() -> T) -> (T, usize) {
        /// Takes back what was lent, even if the step panics.
        struct Return<'a> {
            data: &'a BioData,
            before: (NonNull<[u8]>, usize),
        }

        impl Drop for Return<'_> {
            fn drop(&mut self) {
                self.data.lent.set(self.before.0);
                self.data.moved.set(self.before.1);
            }
        }

        let before = (self.lent.replace(lent), self.moved.replace(0));
        let _return = Return { data: self, before };
        let answer = step();
        (answer, self.moved.get())
    }

    /// The first `length` bytes of what is lent are used.
    fn advance(&self, length: usize) {
        let lent = self.lent.get();
        // SAFETY: the caller has compared `length` with the length.
        let rest = unsafe { lent.cast::<u8>().add(length) };
        self.lent.set(NonNull::slice_from_raw_parts(rest, lent.len() - length));
        self.moved.set(self.moved.get() + length);
    }
}

fn nothing() -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(NonNull::dangling(), 0)
}

/// What stands between a session's `SSL` and its memory BIOs.
#[derive(Debug)]
pub(super) struct LendingBios {
    library: &'static Library,
    ssl: NonNull<c_void>,
    /// Owned; OpenSSL's BIOs point to them too.
    source: NonNull<BioData>,
    sink: NonNull<BioData>,
}

impl LendingBios {
    /// Puts itself between; `None` if OpenSSL has no memory.
    ///
    /// # Safety
    /// `ssl` is alive, reads from `incoming` and writes to `outgoing`; all of them outlive the answer, and
    /// all are used by one thread at a time.
    pub(super) unsafe fn between(
        library: &'static Library,
        ssl: NonNull<c_void>,
        incoming: NonNull<c_void>,
        outgoing: NonNull<c_void>,
    ) -> Option<Self> {
        let methods = METHODS.get_or_init(|| Methods::new(library)).as_ref()?;
        // SAFETY: the methods are made and stay; a BIO of NULL goes no further, a box is never one. `ssl` takes
        // over the BIOs and gives up a reference of the memory BIOs, of which Python's objects have another.
        unsafe {
            let giving = NonNull::new((library.BIO_new)(methods.source.as_ptr()))?;
            let Some(taking) = NonNull::new((library.BIO_new)(methods.sink.as_ptr())) else {
                (library.BIO_free)(giving.as_ptr());
                return None;
            };
            let [source, sink] = [(giving, incoming), (taking, outgoing)].map(|(bio, memory)| {
                let data = BioData { memory, lent: Cell::new(nothing()), moved: Cell::new(0) };
                let data = Box::into_raw(Box::new(data));
                (library.BIO_set_data)(bio.as_ptr(), data.cast());
                (library.BIO_set_init)(bio.as_ptr(), 1);
                NonNull::new_unchecked(data)
            });
            (library.SSL_set0_rbio)(ssl.as_ptr(), giving.as_ptr());
            (library.SSL_set0_wbio)(ssl.as_ptr(), taking.as_ptr());
            Some(Self { library, ssl, source, sink })
        }
    }

    /// How much ciphertext of what is lent was not taken.
    pub(super) fn to_take(&self) -> usize {
        // SAFETY: it is freed with `self`.
        unsafe { self.source.as_ref() }.lent.get().len()
    }

    /// Has `put` keep the ciphertext that is lent and was not taken: more is to come behind it.
    pub(super) fn keep_lent<E>(&self, put: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
        // SAFETY: it is freed with `self`.
        let source = unsafe { self.source.as_ref() };
        let lent = source.lent.get();
        if !lent.is_empty() {
            // SAFETY: who lends it keeps it in place, and nobody writes to it.
            put(unsafe { lent.as_ref() })?;
            source.advance(lent.len());
        }
        Ok(())
    }

    /// Has `step` take `ciphertext` before what the memory BIO has; answers what it left of it.
    pub(super) fn read_from<'a, T>(
        &self,
        ciphertext: &'a [u8],
        step: impl FnOnce() -> T,
    ) -> (T, &'a [u8]) {
        // SAFETY: it is freed with `self`.
        let source = unsafe { self.source.as_ref() };
        let (answer, taken) = source.lend(NonNull::from(ciphertext), step);
        (answer, &ciphertext[taken..])
    }

    /// Has `step` put ciphertext into `room`; answers how much it was. From the first piece on that does
    /// not fit, it goes to the memory BIO.
    pub(super) fn write_to<T>(&self, room: &mut [u8], step: impl FnOnce() -> T) -> (T, usize) {
        // SAFETY: it is freed with `self`.
        unsafe { self.sink.as_ref() }.lend(NonNull::from(room), step)
    }
}

impl Drop for LendingBios {
    fn drop(&mut self) {
        let library = self.library;
        // SAFETY: as in `between`, the other way round. The BIOs between are freed, and then their data.
        unsafe {
            let (source, sink) =
                (Box::from_raw(self.source.as_ptr()), Box::from_raw(self.sink.as_ptr()));
            (library.BIO_up_ref)(source.memory.as_ptr());
            (library.SSL_set0_rbio)(self.ssl.as_ptr(), source.memory.as_ptr());
            (library.BIO_up_ref)(sink.memory.as_ptr());
            (library.SSL_set0_wbio)(self.ssl.as_ptr(), sink.memory.as_ptr());
        }
    }
}

/// The library, and the data of the BIO that it calls with.
///
/// # Safety
/// The BIO is one of a [`LendingBios`], which is alive.
unsafe fn data<'a>(bio: *mut c_void) -> Option<(&'static Library, &'a BioData)> {
    let library = METHODS.get()?.as_ref()?.library;
    // SAFETY: the caller's promise; the data is set before OpenSSL knows the BIO.
    Some((library, unsafe { (library.BIO_get_data)(bio).cast::<BioData>().as_ref()? }))
}

/// OpenSSL reads.
unsafe extern "C" fn give(bio: *mut c_void, place: *mut c_char, length: c_int) -> c_int {
    // SAFETY: OpenSSL calls with the BIO whose method this is. `place` is writable for `length`; what is
    // lent is readable until it is taken back. The memory BIO is alive, as its Python object is.
    contained_natively(-1, || unsafe {
        let Some((library, data)) = data(bio) else { return -1 };
        (library.BIO_clear_flags)(bio, BIO_FLAGS);
        let lent = data.lent.get();
        if lent.is_empty() {
            let answer = (library.BIO_read)(data.memory.as_ptr(), place.cast(), length);
            let flags = (library.BIO_test_flags)(data.memory.as_ptr(), BIO_FLAGS);
            (library.BIO_set_flags)(bio, flags);
            return answer;
        }
        let taken = usize::try_from(length).unwrap_or(0).min(lent.len());
        place.copy_from_nonoverlapping(lent.cast().as_ptr(), taken);
        data.advance(taken);
        c_int::try_from(taken).unwrap_or(length)
    })
}

/// OpenSSL writes.
unsafe extern "C" fn take(bio: *mut c_void, place: *const c_char, length: c_int) -> c_int {
    // SAFETY: as for `give`: `place` is readable for `length`, and what is lent is writable.
    contained_natively(-1, || unsafe {
        let Some((library, data)) = data(bio) else { return -1 };
        (library.BIO_clear_flags)(bio, BIO_FLAGS);
        let given = usize::try_from(length).unwrap_or(0);
        let lent = data.lent.get();
        if lent.len() < given || lent.is_empty() {
            data.lent.set(nothing());
            return (library.BIO_write)(data.memory.as_ptr(), place.cast(), length);
        }
        lent.cast::<c_char>().as_ptr().copy_from_nonoverlapping(place, given);
        data.advance(given);
        length
    })
}

/// OpenSSL asks, or has something done: of this the memory BIO knows.
unsafe extern "C" fn control(
    bio: *mut c_void,
    command: c_int,
    number: c_long,
    pointer: *mut c_void,
) -> c_long {
    // SAFETY: as for `give`; the arguments go on as they came.
    contained_natively(0, || unsafe {
        let Some((library, data)) = data(bio) else { return 0 };
        (library.BIO_ctrl)(data.memory.as_ptr(), command, number, pointer)
    })
}
