//! The state directory, on a real file system.

use super::*;

fn state() -> (tempfile::TempDir, State) {
    let dir = tempfile::tempdir().unwrap();
    let state = State::at(dir.path().join(".slipway/prod"));
    (dir, state)
}

fn saved() -> (tempfile::TempDir, State, Pki) {
    let (dir, state) = state();
    let keys = Pki::generate().unwrap();
    state.save("prod", &keys).unwrap();
    (dir, state, keys)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The same for `load` and for `save` of `keys`.
fn both(state: &State, keys: &Pki) -> [String; 2] {
    [state.load().unwrap_err().to_string(), state.save("prod", keys).unwrap_err().to_string()]
}

#[test]
fn nothing_there_is_no_error() {
    let (_dir, state) = state();
    assert!(state.load().unwrap().is_none());
    state.create().unwrap();
    assert!(state.load().unwrap().is_none());
}

#[test]
fn what_was_saved_is_loaded_and_private() {
    let (_dir, state, keys) = saved();
    let loaded = state.load().unwrap().unwrap();
    let bytes = |keys: &Pki| -> Vec<Vec<u8>> {
        keys.files().iter().map(|file| file.content.expose().to_vec()).collect()
    };
    assert_eq!(bytes(&loaded), bytes(&keys));
    assert_eq!(mode(&state.dir), 0o700);
    assert_eq!(mode(state.dir.parent().unwrap()), 0o700);
    for name in pki::FILES {
        let expected = if name.ends_with(".key") { 0o600 } else { 0o644 };
        assert_eq!(mode(&state.pki(name)), expected, "{name}");
    }
    assert_eq!(std::fs::read_to_string(state.dir.join(".gitignore")).unwrap(), "*\n");
    let record = state.record().unwrap().unwrap();
    assert_eq!((record.schema, record.cluster.as_str()), (1, "prod"));
    assert!(record.created.parse::<jiff::Timestamp>().is_ok());
    // No temporary file stays.
    assert_eq!(std::fs::read_dir(&state.dir).unwrap().count(), 3);
}

#[test]
fn saving_again_changes_nothing() {
    let (_dir, state, keys) = saved();
    let before = std::fs::read(state.record_path()).unwrap();
    state.save("prod", &keys).unwrap();
    assert_eq!(std::fs::read(state.record_path()).unwrap(), before);
}

#[test]
fn other_keys_or_another_cluster_are_never_overwritten() {
    let (_dir, state, keys) = saved();
    let other = Pki::generate().unwrap();
    let error = state.save("prod", &other).unwrap_err().to_string();
    assert!(error.contains("the keys of another cluster"), "{error}");
    for identity in [keys.identity(), other.identity()] {
        assert!(error.contains(identity.as_str()), "{error}");
    }
    let error = state.save("test", &keys).unwrap_err();
    assert!(error.message().contains("belongs to the cluster `prod`, not `test`"), "{error}");
    // The same when the record is lost.
    std::fs::remove_file(state.record_path()).unwrap();
    let error = state.save("prod", &other).unwrap_err();
    assert!(error.message().ends_with("`pki/ca.crt` is another one"), "{error}");
    state.save("prod", &keys).unwrap();
    assert_eq!(state.load().unwrap().unwrap().identity(), keys.identity());
}

#[test]
fn a_state_written_by_half_is_an_error_that_saving_the_same_keys_heals() {
    let (_dir, state, keys) = saved();
    std::fs::remove_file(state.pki("sa.key")).unwrap();
    let error = state.load().unwrap_err();
    assert!(error.message().contains("`sa.key` missing"), "{error}");
    std::fs::remove_file(state.record_path()).unwrap();
    let error = state.load().unwrap_err();
    assert!(error.message().contains("writing them was interrupted"), "{error}");
    assert!(error.advice().unwrap().contains("mv "));
    state.save("prod", &keys).unwrap();
    assert!(state.load().unwrap().is_some());
}

#[test]
fn keys_of_another_identity_than_recorded_are_an_error() {
    let (_dir, state, keys) = saved();
    let other = Pki::generate().unwrap();
    for file in other.files() {
        std::fs::write(state.pki(file.name), file.content.expose()).unwrap();
    }
    let error = state.load().unwrap_err().to_string();
    assert!(error.contains("not those of the recorded cluster"), "{error}");
    for identity in [keys.identity(), other.identity()] {
        assert!(error.contains(identity.as_str()), "{error}");
    }
}

#[test]
fn a_record_of_another_schema_or_none_is_an_error() {
    let (_dir, state, keys) = saved();
    for (text, expected) in [
        (r#"{"schema": 2, "vault": "x"}"#, "has schema 2, not 1"),
        (r#"{"schema": 1, "cluster": "prod"}"#, "cannot be read"),
        (r#"{"schema": 1, "cluster": "prod", "identity": "x", "created": ""}"#, "identity"),
        ("", "cannot be read"),
    ] {
        std::fs::write(state.record_path(), text).unwrap();
        for error in both(&state, &keys) {
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn what_others_may_read_is_refused_with_the_command_that_helps() {
    let (_dir, state, keys) = saved();
    for (path, open, closed) in
        [(state.pki("etcd/ca.key"), 0o640, 0o600), (state.dir.clone(), 0o755, 0o700)]
    {
        chmod(&path, open);
        for error in both(&state, &keys) {
            assert!(error.ends_with(&format!("chmod {closed:o} {}", path.display())), "{error}");
        }
        chmod(&path, closed);
    }
    assert!(state.load().unwrap().is_some());
}

#[test]
fn an_open_directory_without_keys_is_closed() {
    let (_dir, state) = state();
    std::fs::create_dir_all(&state.dir).unwrap();
    chmod(&state.dir, 0o755);
    assert!(state.load().unwrap().is_none());
    state.save("prod", &Pki::generate().unwrap()).unwrap();
    assert_eq!(mode(&state.dir), 0o700);
}

#[test]
fn a_kubeconfig_is_private_and_replaced() {
    let (_dir, state) = state();
    for text in ["one", "two"] {
        let path = state.write_kubeconfig(&Secret::new(text.to_owned())).unwrap();
        assert_eq!(path, state.kubeconfig());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(mode(&path), 0o600);
    }
    assert!(state.load().unwrap().is_none());
}

#[test]
fn an_absent_file_is_created_where_the_rest_was_lost() {
    let (_dir, state, keys) = saved();
    std::fs::remove_dir_all(state.dir.join("pki")).unwrap();
    assert!(state.load().unwrap_err().message().contains("incomplete"));
    state.save("prod", &keys).unwrap();
    assert!(state.load().unwrap().is_some());
}
