//! However chunks are queued and however little of them the kernel takes at a time, what waits is
//! what one vector of bytes would hold.

#![no_main]

use std::io::IoSlice;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ouroloop::net::WriteQueue;

#[derive(Arbitrary, Debug)]
enum Step {
    Push(Vec<u8>),
    /// The kernel took a part of what it was offered.
    Write {
        slices: u8,
        taken: u16,
    },
    TakeAll,
}

fuzz_target!(|steps: Vec<Step>| {
    let mut queue = WriteQueue::new();
    let mut model = Vec::new();
    for step in steps {
        match step {
            Step::Push(chunk) => {
                model.extend(&chunk);
                queue.push(chunk);
            }
            Step::Write { slices, taken } => {
                let mut room = vec![IoSlice::new(&[]); usize::from(slices)];
                let filled = queue.gather(&mut room);
                let offered: Vec<u8> =
                    room[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                assert_eq!(filled, queue.len_chunks().min(usize::from(slices)));
                assert!(model.starts_with(&offered));
                let taken = usize::from(taken) % (offered.len() + 1);
                drop(room);
                queue.advance(taken);
                model.drain(..taken);
            }
            Step::TakeAll => {
                drop(queue.take_all());
                model.clear();
            }
        }
        assert_eq!((queue.len_bytes(), queue.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(queue.iter().flatten().copied().collect::<Vec<_>>(), model);
        assert!(queue.iter().all(|chunk| !chunk.is_empty()));
    }
});
