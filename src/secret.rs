//! Values that must never be shown: [`Secret`] has no `Display`, masks itself in `Debug`, cannot be
//! serialised, and is wiped when dropped.

use std::fmt;

use zeroize::Zeroize;

/// A secret value. The only way to its content is [`Secret::expose`], which is easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Marks `value` as secret.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: for a file's content on stdin, a signature, a hash. Never for a message.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_is_masked() {
        assert_eq!(format!("{:?}", Secret::new("key".to_owned())), "***");
    }
}
