//! Single JSON objects out of an endless stream of them, in bounded memory.
//!
//! `kubectl get --watch -o json` prints objects one after the other. Anyone who may file a request
//! decides how large one is, so an object beyond the limit is skipped without being kept; it must
//! not keep the service from the next.

/// Requests of kubelets have some 2 KiB.
pub(crate) const MAX_OBJECT: usize = 128 * 1024;

/// Splits a stream into the objects at its top level. Only strings and braces are understood;
/// whether an object is valid, its parser will say.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    buffer: Vec<u8>,
    too_large: bool,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// One object of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// Its text.
    Text(Vec<u8>),
    /// It was larger than allowed.
    TooLarge,
}

impl Objects {
    /// Takes the next bytes of the stream; gives the objects that end in them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Object> {
        bytes.iter().filter_map(|byte| self.step(*byte)).collect()
    }

    fn step(&mut self, byte: u8) -> Option<Object> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'{' => self.depth += 1,
                _ if self.depth == 0 => return None,
                b'"' => self.in_string = true,
                b'}' => self.depth -= 1,
                _ => {}
            }
        }
        if self.buffer.len() < MAX_OBJECT {
            self.buffer.push(byte);
        } else {
            self.too_large = true;
        }
        (self.depth == 0).then(|| self.take())
    }

    fn take(&mut self) -> Object {
        let text = std::mem::take(&mut self.buffer);
        if std::mem::take(&mut self.too_large) { Object::TooLarge } else { Object::Text(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(object: &str) -> Object {
        Object::Text(object.as_bytes().to_vec())
    }

    #[test]
    fn objects_are_found_however_the_stream_is_cut() {
        let stream = "{\"a\": \"}{\\\"\"}\n{\n  \"b\": {\"c\": [{}]}\n}noise{}";
        let expected =
            [text("{\"a\": \"}{\\\"\"}"), text("{\n  \"b\": {\"c\": [{}]}\n}"), text("{}")];
        for size in 1..stream.len() {
            let mut objects = Objects::default();
            let found: Vec<_> =
                stream.as_bytes().chunks(size).flat_map(|chunk| objects.push(chunk)).collect();
            assert_eq!(found, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn an_object_that_is_too_large_is_skipped_and_not_kept() {
        let mut objects = Objects::default();
        assert!(objects.push(b"{\"a\": \"").is_empty());
        for _ in 0..100 {
            assert!(objects.push(&[b'x'; 8192]).is_empty());
            assert!(objects.buffer.len() <= MAX_OBJECT);
        }
        assert_eq!(objects.push(b"\"}{}"), [Object::TooLarge, text("{}")]);
    }
}
