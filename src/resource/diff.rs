//! What `kubectl diff` says, fit to be compared with what it said before.

use std::net::IpAddr;

/// What `kubectl diff` says, without what is another at each look: its temporary folders and times,
/// and what the API server chooses for an object that is not there yet.
pub(super) fn lasting(diff: &str) -> String {
    let mut lasting = String::new();
    let (mut head, mut new) = (false, false);
    for line in diff.lines() {
        // `diff -u -N /tmp/LIVE-1/v1.Node..w-1 /tmp/MERGED-2/v1.Node..w-1`, then `---` and `+++`.
        if let Some(files) = line.strip_prefix("diff ") {
            let name = files.rsplit('/').next().unwrap_or(files);
            lasting.push_str(&format!("diff {name}\n"));
            head = true;
            continue;
        }
        if line.starts_with("@@ ") {
            (head, new) = (false, line.starts_with("@@ -0,0 "));
        }
        if !(head || new && chosen(line)) {
            lasting.push_str(&format!("{line}\n"));
        }
    }
    lasting
}

/// Whether this line of a new object is a time, an id, or an address of a service.
fn chosen(line: &str) -> bool {
    let Some(line) = line.strip_prefix("+  ") else { return false };
    let field = ["creationTimestamp: ", "uid: ", "clusterIP: "];
    let address = line.strip_prefix("- ").is_some_and(|item| item.parse::<IpAddr>().is_ok());
    address || field.iter().any(|field| line.starts_with(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_looks_at_the_same_difference_read_alike() {
        let look = |number: u32| {
            lasting(&format!(
                "diff -u -N /tmp/LIVE-{number}/v1.Service.a.b /tmp/MERGED-7{number}/v1.Service.a.b
--- /tmp/LIVE-{number}/v1.Service.a.b\t2026-11-21 17:00:0{number} +0000
+++ /tmp/MERGED-7{number}/v1.Service.a.b\t2026-11-21 17:00:0{number} +0000
@@ -0,0 +1,9 @@
+kind: Service
+metadata:
+  creationTimestamp: \"2026-11-21T17:00:0{number}Z\"
+  name: b
+  uid: 0000-{number}
+spec:
+  clusterIP: 10.96.0.{number}
+  clusterIPs:
+  - 10.96.0.{number}
diff -u -N /tmp/LIVE-{number}/v1.Node..w-1 /tmp/MERGED-7{number}/v1.Node..w-1
--- /tmp/LIVE-{number}/v1.Node..w-1\t2026-11-21 17:00:0{number} +0000
+++ /tmp/MERGED-7{number}/v1.Node..w-1\t2026-11-21 17:00:0{number} +0000
@@ -5,3 +5,3 @@
   labels:
--- a
+++ a
"
            ))
        };
        assert_eq!(look(1), look(2));
        assert_eq!(
            look(1),
            "diff v1.Service.a.b
@@ -0,0 +1,9 @@
+kind: Service
+metadata:
+  name: b
+spec:
+  clusterIPs:
diff v1.Node..w-1
@@ -5,3 +5,3 @@
   labels:
--- a
+++ a
"
        );
    }

    proptest! {
        #[test]
        fn hostile_answers_do_not_panic(text in "((diff|@@|\\+  -) [ -~]{0,30}\n){0,8}") {
            let _ = lasting(&text);
        }
    }
}
