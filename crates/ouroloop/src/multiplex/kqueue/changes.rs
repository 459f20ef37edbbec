//! What to tell a kqueue about a descriptor.
//!
//! A kqueue knows a descriptor by *filters*, one for reading and one for writing, which do not know
//! of each other:
//!
//! 1. The kernel deletes the filters of a descriptor with the descriptor, be it closed or replaced. So
//!    whatever is wanted is added, even if it should be there already.
//! 2. To add a filter that is there changes nothing about its being for one event or for good. So one
//!    that may be there for the other is deleted first.
//! 3. A filter for one event is deleted by its event, and only that one: after
//!    [`Interest::TOLD`] the filter of the other direction may still be there. So what is not wanted
//!    is deleted unless nothing was watched before. That it is not found is no error.

use crate::multiplex::Interest;

/// Which of a descriptor's filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Read,
    Write,
}

/// A step, to be taken in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Have the filter, for one event or for good.
    Add { direction: Direction, once: bool },
    /// Do not have it, if it is there.
    Delete(Direction),
}

/// No interest takes more steps.
pub(super) const MOST_CHANGES: usize = 4;

/// The steps from one interest in a descriptor to another.
pub(super) fn changes(old: Interest, new: Interest) -> impl Iterator<Item = Change> {
    let had_any = old != Interest::NONE;
    [(Direction::Read, new.readable), (Direction::Write, new.writable)].into_iter().flat_map(
        move |(direction, wanted)| {
            let delete = had_any && (!wanted || old.once != new.once);
            let add = wanted.then_some(Change::Add { direction, once: new.once });
            delete.then_some(Change::Delete(direction)).into_iter().chain(add)
        },
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A kernel's part of one descriptor: its filters, each with whether it is for one event.
    #[derive(Debug, Default)]
    struct Filters(BTreeMap<Direction, bool>);

    impl Filters {
        fn apply(&mut self, old: Interest, new: Interest) {
            let list: Vec<Change> = changes(old, new).collect();
            assert!(list.len() <= MOST_CHANGES);
            for change in list {
                match change {
                    Change::Add { direction, once } => {
                        self.0.entry(direction).or_insert(once);
                    }
                    Change::Delete(direction) => {
                        self.0.remove(&direction);
                    }
                }
            }
        }

        /// What a wait reports of the directions that are ready.
        fn wait(&mut self, ready: &[Direction]) -> Vec<Direction> {
            let told = ready.iter().copied().filter(|direction| self.0.contains_key(direction));
            let told: Vec<Direction> = told.collect();
            self.0.retain(|direction, once| !(*once && told.contains(direction)));
            told
        }
    }

    fn wanted(interest: Interest) -> BTreeMap<Direction, bool> {
        let each = [(Direction::Read, interest.readable), (Direction::Write, interest.writable)];
        each.into_iter().filter(|each| each.1).map(|each| (each.0, interest.once)).collect()
    }

    /// What may happen to a watched descriptor.
    #[derive(Clone, Debug)]
    enum Step {
        Set(Interest),
        Ready(Vec<Direction>),
        Replaced,
    }

    fn interests() -> impl Strategy<Value = Interest> {
        any::<(bool, bool, bool)>().prop_map(|(readable, writable, once)| Interest {
            readable,
            writable,
            once: once && (readable || writable),
            edge: false,
        })
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let ready = prop::sample::subsequence(vec![Direction::Read, Direction::Write], 0..=2);
        let step = prop_oneof![
            4 => interests().prop_map(Step::Set),
            3 => ready.prop_map(Step::Ready),
            1 => Just(Step::Replaced),
        ];
        prop::collection::vec(step, 0..30)
    }

    proptest! {
        #[test]
        fn the_filters_are_those_that_were_last_wanted(steps in steps()) {
            let mut filters = Filters::default();
            // As the loop's table keeps it.
            let mut told = Interest::NONE;
            for step in steps {
                match step {
                    Step::Set(new) => {
                        filters.apply(told, new);
                        told = new;
                        prop_assert_eq!(&filters.0, &wanted(new));
                    }
                    Step::Ready(directions) => {
                        let reported = filters.wait(&directions);
                        if told.once && !reported.is_empty() {
                            told = Interest::TOLD;
                        }
                    }
                    Step::Replaced => filters.0.clear(),
                }
            }
        }
    }

    #[test]
    fn a_wait_for_one_more_event_is_two_steps() {
        let read = Interest { readable: true, once: true, ..Interest::NONE };
        let again: Vec<Change> = changes(Interest::TOLD, read).collect();
        let add = Change::Add { direction: Direction::Read, once: true };
        assert_eq!(again, [add, Change::Delete(Direction::Write)]);
        assert_eq!(changes(Interest::NONE, read).collect::<Vec<_>>(), [add]);
    }
}
