//! `conf`, and the program under the name `asconfigurator`, as people run them.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

const FILE: &str = "<?xml version='1.0'?>
<CONF version=\"2\">
  <default> <!-- ours -->
    <file_system><partial_file_suffix>.part</partial_file_suffix></file_system>
    <authorization><token><encryption_key>hunter2</encryption_key></token></authorization>
  </default>
</CONF>
";

struct Bed {
    temp: TempDir,
}

struct Run {
    status: i32,
    out: String,
    err: String,
}

impl Bed {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        fs::write(temp.path().join("aspera.conf"), FILE).unwrap();
        Self { temp }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("aspera.conf")).unwrap()
    }

    fn run_as(&self, program: PathBuf, words: &[&str]) -> Run {
        let output = Command::new(program)
            .args(words)
            .current_dir(self.temp.path())
            .env("HOME", self.path("home"))
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .unwrap();
        Run {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs `conf` on the test's file.
    fn conf(&self, words: &[&str]) -> Run {
        let words = [&["conf", "--file", "aspera.conf"], words].concat();
        self.run_as(env!("CARGO_BIN_EXE_connect-cli").into(), &words)
    }

    /// Runs `conf` without naming a file.
    fn conf_of_client(&self, words: &[&str]) -> Run {
        let words = [&["conf"], words].concat();
        self.run_as(env!("CARGO_BIN_EXE_connect-cli").into(), &words)
    }

    fn asconfigurator(&self, words: &[&str]) -> Run {
        let link = self.path("asconfigurator");
        if !link.is_symlink() {
            symlink(env!("CARGO_BIN_EXE_connect-cli"), &link).unwrap();
        }
        self.run_as(link, words)
    }
}

#[test]
fn a_value_is_read_set_and_taken_out() {
    let bed = Bed::new();
    assert_eq!(bed.conf(&["get", "partial_file_suffix"]).out, ".part\n");
    fs::set_permissions(bed.path("aspera.conf"), fs::Permissions::from_mode(0o640)).unwrap();
    let set = bed.conf(&["set", "overwrite", "deny"]);
    assert_eq!((set.status, &*set.err), (0, "changed 'aspera.conf'\n"));
    let mode = fs::metadata(bed.path("aspera.conf")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o640);
    let again = bed.conf(&["set", "overwrite", "deny"]);
    assert_eq!(again.err, "'aspera.conf' says so already\n");
    assert_eq!(bed.conf(&["get", "overwrite"]).out, "deny\n");
    assert!(bed.text().contains("<!-- ours -->"));
    assert_eq!(bed.conf(&["unset", "overwrite"]).status, 0);
    assert_eq!(bed.text(), FILE);
    let set = bed.conf(&["set", "read_allowed", "no", "--user", "ada"]);
    assert_eq!(set.status, 0, "{}", set.err);
    assert_eq!(
        bed.conf(&["get", "read_allowed", "--user", "ada"]).out,
        "false\n"
    );
    let line = bed.conf(&["get", "read_allowed", "--user", "ada", "--json"]);
    let line: Value = serde_json::from_str(&line.out).unwrap();
    assert_eq!(
        (&line["value"], &line["set"]),
        (&"false".into(), &true.into())
    );
}

#[test]
fn mistakes_come_with_a_hint_and_change_nothing() {
    let bed = Bed::new();
    for (words, status, part) in [
        (
            vec!["set", "overwite", "deny"],
            2,
            "hint: did you mean 'overwrite'?",
        ),
        (vec!["set", "overwrite", "no"], 2, "one of: allow, deny"),
        (
            vec!["get", "absolute", "--section", "nowhere"],
            2,
            "is no section",
        ),
        (
            vec!["exec", "set_node_data;overwrite,deny", "set_node_data;x,1"],
            2,
            "no option 'x'",
        ),
        (
            vec!["exec", "get_user_data;user_name,eve"],
            2,
            "no user 'eve'",
        ),
        (vec!["explain", "overwrte"], 2, "did you mean 'overwrite'?"),
    ] {
        let run = bed.conf(&words);
        assert_eq!(run.status, status, "{words:?}: {}", run.err);
        assert!(run.err.contains(part), "{words:?}: {}", run.err);
        assert_eq!(bed.text(), FILE);
    }
    fs::write(bed.path("aspera.conf"), "<CONF>\n<default></CONF>").unwrap();
    let run = bed.conf(&["show"]);
    assert_eq!(run.status, 1);
    assert!(
        run.err
            .starts_with("error: line 2, column 10: <default> is not closed (FASP code 50)"),
        "{}",
        run.err
    );
}

#[test]
fn secrets_are_shown_on_demand_only() {
    let bed = Bed::new();
    for words in [
        vec!["show"],
        vec!["show", "--all", "--origin"],
        vec!["show", "--json", "--all"],
        vec!["get", "token_encryption_key"],
        vec!["exec", "get_node_data"],
        vec!["check"],
    ] {
        let run = bed.conf(&words);
        assert!(
            !run.out.contains("hunter2") && !run.err.contains("hunter2"),
            "{words:?}"
        );
    }
    let run = bed.conf(&["get", "token_encryption_key", "--reveal"]);
    assert_eq!(run.out, "hunter2\n");
}

#[test]
fn a_check_names_places_and_fails_for_errors_only() {
    let bed = Bed::new();
    let run = bed.conf(&["check"]);
    assert_eq!(run.status, 0);
    assert!(
        run.out.contains(
            "aspera.conf:5:27: notice: 'token_encryption_key' is recognised, and has no effect here"
        ),
        "{}",
        run.out
    );
    assert!(
        run.err.ends_with("0 errors, 0 warnings, 1 notices\n"),
        "{}",
        run.err
    );
    let end = ".part</partial_file_suffix>";
    let text = FILE.replace(end, &format!("{end}<overwrite>maybe</overwrite>"));
    fs::write(bed.path("aspera.conf"), text).unwrap();
    let run = bed.conf(&["check", "--json"]);
    assert_eq!(run.status, 1);
    let lines: Vec<Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let error = lines
        .iter()
        .find(|line| line["rule"] == "bad_value")
        .unwrap();
    assert_eq!(
        (&error["line"], &error["severity"]),
        (&4.into(), &"error".into())
    );
    assert_eq!(lines.last().unwrap()["code"], 50);
}

#[test]
fn show_says_where_values_come_from_and_what_limited_them() {
    let bed = Bed::new();
    let lines = "\
# limits of a group
set_group_data;group_name,staff;transfer_in_bandwidth_flow_target_rate_cap,2000
set_user_data;user_name,ada;transfer_in_bandwidth_flow_target_rate_default,9000;absolute,/srv/$(name)
";
    fs::write(bed.path("lines.txt"), lines).unwrap();
    assert_eq!(bed.conf(&["exec", "--from", "lines.txt"]).status, 0);
    let rate = "transfer_in_bandwidth_flow_target_rate_default";
    let run = bed.conf(&[
        "show",
        rate,
        "absolute",
        "--user",
        "ada",
        "--member-of",
        "staff",
        "--origin",
    ]);
    assert!(run.out.contains("/srv/ada"), "{}", run.out);
    assert!(run.out.contains("user, line "), "{}", run.out);
    assert!(
        run.out.contains("target_rate_cap of group staff; was 9000"),
        "{}",
        run.out
    );
    let run = bed.conf(&[
        "show",
        rate,
        "--user",
        "ada",
        "--member-of",
        "staff",
        "--json",
    ]);
    let line: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(line["value"], "2000");
    assert_eq!(line["unit"], "kbit/s");
    assert_eq!(line["limit_origin"], "group staff");
    assert_eq!(line["asked"], "9000");
    // About nobody in particular, the template is shown.
    bed.conf(&["set", "absolute", "/pod/$(name)"]);
    assert!(
        bed.conf(&["show"])
            .out
            .contains("absolute: \"/pod/$(name)\"")
    );
}

#[test]
fn explain_knows_every_option() {
    let bed = Bed::new();
    let run = bed.conf_of_client(&["explain", "--json"]);
    assert_eq!(run.out.lines().count(), 553);
    let run = bed.conf_of_client(&["explain", "https_port"]);
    assert!(run.out.contains("http_server/https_port") && run.out.contains("server/https_port"));
    assert!(
        run.out.contains("a whole number from 1 to 65535"),
        "{}",
        run.out
    );
}

#[test]
fn a_client_finds_its_file_where_connect_has_it_else_in_the_xdg_place() {
    let bed = Bed::new();
    let set = bed.conf_of_client(&["set", "resume_suffix", ".x"]);
    assert_eq!(set.status, 0, "{}", set.err);
    let xdg = bed.path("home/.config/connect/aspera.conf");
    assert!(
        fs::read_to_string(&xdg)
            .unwrap()
            .contains("<resume_suffix>.x<")
    );
    assert_eq!(
        fs::metadata(&xdg).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let connect = bed.path("home/.aspera/connect/etc");
    fs::create_dir_all(&connect).unwrap();
    fs::write(connect.join("aspera.conf"), FILE).unwrap();
    assert_eq!(bed.conf_of_client(&["get", "resume_suffix"]).out, ".aspx\n");
    assert_eq!(
        bed.conf_of_client(&["get", "partial_file_suffix"]).out,
        ".part\n"
    );
}

#[test]
fn exec_writes_elsewhere_or_only_prints() {
    let bed = Bed::new();
    let line = "set_node_data;overwrite,deny";
    let run = bed.conf(&["exec", line, "--dry-run"]);
    assert!(
        run.out.contains("<overwrite>deny</overwrite>"),
        "{}",
        run.out
    );
    assert_eq!(
        bed.conf(&["exec", line, "--output", "other.conf"]).status,
        0
    );
    assert_eq!(bed.text(), FILE);
    let other = fs::read_to_string(bed.path("other.conf")).unwrap();
    assert_eq!(other, run.out);
    let run = bed.conf(&["exec", "get_node_data;option_mask,overwrite"]);
    assert_eq!(run.out, "overwrite: AS_NULL  (default: \"allow\")\n");
}

#[test]
fn called_asconfigurator_it_behaves_like_it() {
    let bed = Bed::new();
    let run = bed.asconfigurator(&["-x", "set_node_data;overwrite,deny", "aspera.conf"]);
    assert_eq!((run.status, &*run.out, &*run.err), (0, "success\n", ""));
    let run = bed.asconfigurator(&[
        "-F",
        "set_node_data;overwrite,AS_NULL",
        "--file",
        "aspera.conf",
    ]);
    assert_eq!(run.out, "success\n");
    assert_eq!(bed.text(), FILE);
    let run = bed.asconfigurator(&["-x", "set_node_data;overwrite,perhaps", "aspera.conf"]);
    assert_eq!((run.status, &*run.out), (1, "failure\n"));
    assert!(run.err.contains("one of: allow, deny"), "{}", run.err);
    let run = bed.asconfigurator(&[
        "-q",
        "-x",
        "get_node_data;option_mask,overwrite",
        "aspera.conf",
    ]);
    assert_eq!(run.out, "overwrite: AS_NULL  (default: \"allow\")\n");
    fs::write(
        bed.path("lines"),
        "set_node_data;overwrite,deny\nset_client_data;ssh_path,/bin/ssh\n",
    )
    .unwrap();
    assert_eq!(
        bed.asconfigurator(&["--check", "-F", "lines", "aspera.conf"])
            .out,
        "success\n"
    );
    assert_eq!(bed.text(), FILE);
    assert_eq!(
        bed.asconfigurator(&["-F", "lines", "aspera.conf"]).out,
        "success\n"
    );
    assert!(bed.text().contains("<ssh_path>/bin/ssh</ssh_path>"));
    assert_eq!(bed.asconfigurator(&["--help"]).status, 0);
    assert_eq!(bed.asconfigurator(&[]).status, 2);
}
