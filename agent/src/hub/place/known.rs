//! What the hub remembers of objects that it watches: a few facts of each, and never the objects.

use std::collections::BTreeMap;
use std::mem;

use kube::runtime::watcher::Event;

/// Facts by key, as of the last event.
#[derive(Debug)]
pub(super) struct Known<K, V> {
    now: BTreeMap<K, V>,
    /// What a new list has had so far.
    listing: BTreeMap<K, V>,
    complete: bool,
}

/// What has changed by an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<K> {
    /// Nothing.
    None,
    /// The facts of one object.
    One(K),
    /// Perhaps all facts: the objects were listed.
    All,
}

impl<K: Ord + Clone, V: PartialEq> Known<K, V> {
    pub(super) const fn new() -> Self {
        Self { now: BTreeMap::new(), listing: BTreeMap::new(), complete: false }
    }

    /// All facts, once there was a complete list.
    pub(super) fn get(&self) -> Option<&BTreeMap<K, V>> {
        self.complete.then_some(&self.now)
    }

    /// Notes an event; `read` gives key and facts of its object.
    pub(super) fn note<T>(
        &mut self,
        event: &Event<T>,
        read: impl Fn(&T) -> Option<(K, V)>,
    ) -> Change<K> {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => self.listing.extend(read(object)),
            Event::InitDone => {
                self.now = mem::take(&mut self.listing);
                self.complete = true;
                return Change::All;
            }
            Event::Apply(object) => {
                if let Some((key, value)) = read(object) {
                    return self.put(key, value);
                }
            }
            Event::Delete(object) => {
                if let Some((key, _)) = read(object)
                    && self.now.remove(&key).is_some()
                {
                    return Change::One(key);
                }
            }
        }
        Change::None
    }

    /// Notes what was just written, before the watch sees it.
    pub(super) fn put(&mut self, key: K, value: V) -> Change<K> {
        if self.now.get(&key) == Some(&value) {
            return Change::None;
        }
        self.now.insert(key.clone(), value);
        Change::One(key)
    }

    /// Notes what was just deleted.
    pub(super) fn forget(&mut self, key: &K) {
        self.now.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &&str) -> Option<(char, String)> {
        Some((text.chars().next()?, text.to_string()))
    }

    #[test]
    fn only_what_was_not_known_is_a_change() {
        let mut known = Known::new();
        let table = [
            (Event::Init, Change::None),
            (Event::InitApply("a1"), Change::None),
            (Event::InitApply("b1"), Change::None),
            (Event::InitDone, Change::All),
            (Event::Apply("a1"), Change::None),
            (Event::Apply("a2"), Change::One('a')),
            (Event::Apply("a2"), Change::None),
            (Event::Apply(""), Change::None),
            (Event::Delete("c1"), Change::None),
            (Event::Delete("b1"), Change::One('b')),
            (Event::Delete("b1"), Change::None),
        ];
        for (event, change) in table {
            assert!(change == known.note(&event, read), "{event:?}");
        }
        assert_eq!(known.get().unwrap().values().collect::<Vec<_>>(), ["a2"]);
    }

    #[test]
    fn a_list_counts_once_it_is_complete() {
        let mut known = Known::new();
        known.note(&Event::InitApply("a1"), read);
        assert!(known.get().is_none());
        known.note(&Event::InitDone, read);
        // A watch that broke lists anew; until that is complete, the old facts stand.
        for event in [Event::Init, Event::InitApply("b1")] {
            known.note(&event, read);
            assert_eq!(known.get().unwrap().keys().collect::<Vec<_>>(), [&'a']);
        }
        known.note(&Event::InitDone, read);
        assert_eq!(known.get().unwrap().keys().collect::<Vec<_>>(), [&'b']);
    }
}
