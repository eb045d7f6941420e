//! What the engine makes of words that commands print.

use super::super::{passes, remedy};

#[test]
fn an_api_server_that_begins_is_waited_for_and_a_wrong_one_is_not() {
    assert!(passes("Unable to connect to the server: EOF"));
    let stranger = "Unable to connect to the server: x509: certificate signed by unknown authority";
    assert!(!passes(stranger));
    assert!(!passes("error: unable to decode \"STDIN\": yaml: unexpected end"));
}

#[test]
fn an_interrupted_dpkg_is_told_what_mends_it() {
    let said = "E: dpkg was interrupted, you must manually run 'sudo dpkg --configure -a' to correct the problem.";
    assert!(remedy(said, "w-1").starts_with("on w-1, as root: dpkg --configure -a;"));
    assert!(remedy("E: Unable to locate package", "w-1").starts_with("fix the cause"));
}
