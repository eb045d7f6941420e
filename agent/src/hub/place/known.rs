//! What the hub keeps in mind of objects that it watches: a few facts of each, and never the objects.

use std::collections::BTreeMap;
use std::mem;

use kube::runtime::watcher::Event;

/// Facts by key, as of the last event.
#[derive(Debug)]
pub(super) struct Known<K, V> {
    now: BTreeMap<K, V>,
    /// What a new listing found so far.
    listing: BTreeMap<K, V>,
    complete: bool,
}

/// What an event told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News<K> {
    /// Nothing that was not known.
    Nothing,
    /// Something about one object.
    Of(K),
    /// All there is.
    Everything,
}

impl<K: Ord + Clone, V: PartialEq> Known<K, V> {
    pub(super) const fn new() -> Self {
        Self { now: BTreeMap::new(), listing: BTreeMap::new(), complete: false }
    }

    /// All facts, once there was a whole listing.
    pub(super) fn get(&self) -> Option<&BTreeMap<K, V>> {
        self.complete.then_some(&self.now)
    }

    /// Takes an event in, of whose object `read` tells the key and the facts.
    pub(super) fn take<T>(
        &mut self,
        event: &Event<T>,
        read: impl Fn(&T) -> Option<(K, V)>,
    ) -> News<K> {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => self.listing.extend(read(object)),
            Event::InitDone => {
                self.now = mem::take(&mut self.listing);
                self.complete = true;
                return News::Everything;
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
                    return News::Of(key);
                }
            }
        }
        News::Nothing
    }

    /// Notes what was just written, before the watch tells it.
    pub(super) fn put(&mut self, key: K, value: V) -> News<K> {
        if self.now.get(&key) == Some(&value) {
            return News::Nothing;
        }
        self.now.insert(key.clone(), value);
        News::Of(key)
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
    fn only_what_was_not_known_is_news() {
        let mut known = Known::new();
        let table = [
            (Event::Init, News::Nothing),
            (Event::InitApply("a1"), News::Nothing),
            (Event::InitApply("b1"), News::Nothing),
            (Event::InitDone, News::Everything),
            (Event::Apply("a1"), News::Nothing),
            (Event::Apply("a2"), News::Of('a')),
            (Event::Apply("a2"), News::Nothing),
            (Event::Apply(""), News::Nothing),
            (Event::Delete("c1"), News::Nothing),
            (Event::Delete("b1"), News::Of('b')),
            (Event::Delete("b1"), News::Nothing),
        ];
        for (event, news) in table {
            assert!(news == known.take(&event, read), "{event:?}");
        }
        assert_eq!(known.get().unwrap().values().collect::<Vec<_>>(), ["a2"]);
    }

    #[test]
    fn a_listing_counts_once_it_is_whole() {
        let mut known = Known::new();
        known.take(&Event::InitApply("a1"), read);
        assert!(known.get().is_none());
        known.take(&Event::InitDone, read);
        // A watch that broke lists anew; until that is whole, what was known stands.
        for event in [Event::Init, Event::InitApply("b1")] {
            known.take(&event, read);
            assert_eq!(known.get().unwrap().keys().collect::<Vec<_>>(), [&'a']);
        }
        known.take(&Event::InitDone, read);
        assert_eq!(known.get().unwrap().keys().collect::<Vec<_>>(), [&'b']);
    }
}
