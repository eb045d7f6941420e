//! YAML that others wrote, read in bounded time and memory.

use serde::de::DeserializeOwned;

/// What is read here (kubeadm's and the kubelets' configuration, a lock) has some KiB. The parser's
/// time grows with the square of the size, where mappings are nested: 64 KiB take it a second.
const LARGEST: usize = 64 << 10;

/// What `text` says, or why it says nothing.
///
/// # Errors
/// When it is too large, has aliases, or is no YAML of this form.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    if text.len() > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    // Each alias repeats what its anchor marks: 64 KiB may say gigabytes. Text that is quoted may
    // hold both signs and no alias, but nothing that is read here does.
    if text.contains('&') && text.contains('*') {
        return Err("it has `&` and `*`; aliases are not supported".to_owned());
    }
    serde_yaml::from_str(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_small_text_stays_small() {
        let bomb = format!("- &a {}\n{}", "x".repeat(10_000), "- *a\n".repeat(10_000));
        for text in [bomb, "{a: ".repeat(1 << 20)] {
            read::<Value>(&text).unwrap_err();
        }
        assert_eq!(
            read::<Value>("a: '*'\nb: [1, &x 2]\n"),
            Err("it has `&` and `*`; aliases are not supported".to_owned())
        );
        assert_eq!(read::<Value>("a: '*.example.com'\n").unwrap()["a"], "*.example.com");
    }
}
