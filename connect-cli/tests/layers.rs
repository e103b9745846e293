//! The direction of dependencies between the crates, read from `cargo metadata`.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// Every crate with its layer: a crate uses only crates of lower layers. `docs/architecture.md` draws the picture.
const LAYERS: &[(&str, u8)] = &[
    ("fasp-core", 0),
    ("fasp-crypt", 0),
    ("netsim", 0),
    ("docroot", 10),
    ("transfer-spec", 10),
    ("aspera-conf", 11),
    ("aspera-rest", 20),
    ("fasp-net", 20),
    ("faspex-client", 30),
    ("shares-client", 30),
    ("sync-engine", 30),
    ("connect-agent", 40),
    ("fasp-server", 40),
    ("connect-cli", 50),
    ("benches", 60),
    ("examples", 60),
];

/// Pairs that the layers allow and the design does not.
const FORBIDDEN: &[(&str, &str)] = &[
    ("aspera-rest", "docroot"),
    ("fasp-net", "aspera-conf"),
    ("fasp-server", "aspera-rest"),
    ("fasp-server", "faspex-client"),
    ("fasp-server", "shares-client"),
    ("faspex-client", "fasp-net"),
    ("shares-client", "fasp-net"),
    ("sync-engine", "aspera-conf"),
    ("sync-engine", "aspera-rest"),
];

/// Used by tests and benches of other crates, never by what they ship.
const FOR_TESTS_ONLY: &str = "netsim";

#[test]
fn a_crate_uses_only_crates_of_lower_layers() {
    let packages = workspace_packages();
    let mistakes: Vec<String> = packages
        .iter()
        .flat_map(|(name, dependencies)| {
            dependencies
                .iter()
                .filter(|(used, _)| packages.contains_key(used))
                .filter_map(|(used, kind)| mistake(name, used, kind))
        })
        .collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn every_crate_has_a_layer() {
    for name in workspace_packages().keys() {
        assert!(layer(name).is_some(), "'{name}' is missing in the table");
    }
}

#[test]
fn the_check_finds_arrows_that_point_up_or_sideways() {
    assert!(mistake("fasp-core", "fasp-net", "").is_some());
    assert!(mistake("fasp-server", "connect-agent", "").is_some());
    assert!(mistake("faspex-client", "fasp-net", "").is_some());
    assert!(mistake("fasp-net", "netsim", "").is_some());
    assert!(mistake("fasp-core", "netsim", "dev").is_none());
    assert!(mistake("connect-cli", "fasp-core", "").is_none());
}

fn mistake(user: &str, used: &str, kind: &str) -> Option<String> {
    let is_bench = matches!(user, "benches" | "examples");
    // A crate's own tests may switch on its features.
    if user == used && kind == "dev" {
        return None;
    }
    if (user, used) == ("fasp-core", FOR_TESTS_ONLY) {
        // Behind the feature `testing`, which nothing that ships switches on.
        return None;
    }
    if used == FOR_TESTS_ONLY {
        return (kind != "dev" && !is_bench)
            .then(|| format!("'{user}' may use '{used}' in tests only"));
    }
    if FORBIDDEN.contains(&(user, used)) {
        return Some(format!("'{user}' must not know '{used}'"));
    }
    (layer(used) >= layer(user)).then(|| format!("'{user}' must not use '{used}': not below it"))
}

fn layer(name: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, layer)| *layer)
}

/// Returns the workspace's packages with what they use: name, and kind of dependency ("" is an ordinary one).
fn workspace_packages() -> BTreeMap<String, Vec<(String, String)>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs: it runs this test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    items(&metadata["packages"])
        .iter()
        .map(|package| {
            let used = items(&package["dependencies"])
                .iter()
                .map(|dependency| (text(&dependency["name"]), text(&dependency["kind"])))
                .collect();
            (text(&package["name"]), used)
        })
        .collect()
}
