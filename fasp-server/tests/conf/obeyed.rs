//! The list of options with an effect is true: each has a test here that shows it, and nothing else is said to have one.

use std::{collections::BTreeSet, fs, path::Path};

use aspera_conf::schema::{self, Obeyed, Section};

/// Every option that is obeyed, and the test that shows it.
const SHOWN: &[(&str, &str)] = &[
    (
        "default name",
        "p1_docroots_come_from_user_account_group_and_node_in_that_order",
    ),
    ("default precedence", "each_option_is_inherited_by_itself"),
    (
        "default absolute",
        "p1_docroots_come_from_user_account_group_and_node_in_that_order",
    ),
    (
        "default file_restriction",
        "p1_what_restrictions_hide_is_not_listed_fetched_replaced_or_made",
    ),
    ("default read_allowed", RIGHTS),
    ("default write_allowed", RIGHTS),
    ("default dir_allowed", RIGHTS),
    ("default authorization_transfer_{in,out}_value", RIGHTS),
    (
        "default authorization_transfer_{in,out}_external_provider_url",
        RIGHTS,
    ),
    (
        "default transfer_{in,out}_bandwidth_aggregate_trunk_id",
        LINK,
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_target_rate_cap",
        TARGETS,
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_target_rate_default",
        TARGETS,
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_target_rate_lock",
        "what_is_locked_does_not_change_in_flight",
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_min_rate_cap",
        MINIMA,
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_min_rate_default",
        MINIMA,
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_min_rate_lock",
        "minimum_rate_and_policy_are_locked_as_the_file_says",
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_policy_default",
        POLICIES,
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_policy_allowed",
        POLICIES,
    ),
    (
        "default transfer_{in,out}_bandwidth_flow_policy_lock",
        "minimum_rate_and_policy_are_locked_as_the_file_says",
    ),
    (
        "client transport_cipher",
        "a_file_fills_in_what_nobody_typed_and_its_caps_hold",
    ),
    ("trunks id", LINK),
    ("trunks trunk_name", LINK),
    ("trunks trunk_on", LINK),
    ("trunks trunk_capacity", LINK),
    ("trunks trunk_ignore_direction", LINK),
    ("default transfer_encryption_allowed_cipher", CIPHERS),
    ("default transfer_encryption_strict_allowed_cipher", CIPHERS),
    ("default transfer_encryption_fips_mode", CIPHERS),
    (
        "default transfer_encryption_content_protection_required",
        PROTECTED,
    ),
    (
        "default transfer_encryption_content_protection_strong_pass_required",
        PROTECTED,
    ),
    (
        "default transfer_encryption_content_protection_secret",
        PROTECTED,
    ),
    (
        "default transfer_protocol_options_bind_udp_port",
        "an_account_may_have_a_udp_port_of_its_own",
    ),
    (
        "default transfer_protocol_options_datagram_size",
        "datagrams_are_no_larger_than_the_file_says",
    ),
    (
        "default connection_timeout_sec",
        "time_outs_are_those_of_the_file",
    ),
    (
        "default session_timeout_sec",
        "a_session_that_falls_silent_ends_when_the_file_says",
    ),
    ("default logging_class", LOGS),
    ("default logging_level", LOGS),
    ("default logging_log_size", LOGS),
    ("default logging_log_count", LOGS),
    ("logging classes", LOGS),
    ("logging level", LOGS),
    ("logging log_size", LOGS),
    ("logging log_count", LOGS),
    (
        "default transfer_log_files_activity",
        "the_log_says_as_much_as_the_file_asks_for",
    ),
    (
        "default transfer_log_stats_interval",
        "the_log_says_as_much_as_the_file_asks_for",
    ),
    (
        "default overwrite",
        "existing_files_stay_where_overwriting_is_denied",
    ),
    (
        "default symbolic_links",
        "links_are_made_and_followed_only_where_the_file_says_so",
    ),
    ("default file_create_mode", MODES),
    ("default file_create_grant_mask", MODES),
    ("default directory_create_mode", MODES),
    ("default directory_create_grant_mask", MODES),
    (
        "default group_ownership",
        "p7_a_set_gid_directory_decides_about_groups_where_the_file_leaves_them_alone",
    ),
    (
        "default preserve_attributes",
        "times_are_kept_or_not_as_the_file_says",
    ),
    (
        "default preserve_xattrs",
        "extended_attributes_are_kept_and_sent_only_where_the_file_does_not_say_none",
    ),
    (
        "default replace_illegal_chars",
        "f83_characters_that_the_target_refuses_are_replaced",
    ),
    ("default partial_file_suffix", SUFFIXES),
    ("default resume_suffix", SUFFIXES),
    (
        "default file_filters",
        "rules_of_the_file_leave_files_out_in_either_direction",
    ),
    (
        "default file_checksum",
        "receipts_have_the_checksum_that_the_file_asks_for",
    ),
    ("default file_manifest", RECEIPTS),
    ("default file_manifest_path", RECEIPTS),
    ("default file_manifest_inprogress_suffix", RECEIPTS),
];

const RIGHTS: &str = "rights_are_those_that_both_the_account_and_the_file_give";
const LOGS: &str = "the_log_has_the_level_the_size_and_the_count_of_the_file";
const LINK: &str = "ten_sessions_of_a_virtual_link_stay_at_its_capacity_and_share_by_policy";
const TARGETS: &str = "target_rates_have_a_default_and_a_cap_for_each_direction";
const MINIMA: &str = "minimum_rates_have_a_default_and_a_cap";
const POLICIES: &str = "w30_policies_have_a_default_and_a_most_and_a_refused_one_is_told";
const CIPHERS: &str = "ciphers_are_those_that_the_file_allows";
const PROTECTED: &str = "what_has_to_be_protected_at_rest_and_is_not_is_refused";
const MODES: &str = "p7_modes_are_those_of_the_file_and_never_more_than_nine_bits";
const SUFFIXES: &str = "unfinished_files_have_the_suffixes_of_the_file";
const RECEIPTS: &str = "receipts_name_every_file_and_its_result";

#[test]
fn what_is_obeyed_is_shown_and_what_is_shown_is_obeyed() {
    let said: BTreeSet<String> = schema::options()
        .iter()
        .filter(|spec| spec.obeyed() != Obeyed::No)
        .map(|spec| format!("{} {}", spec.section, spec.name))
        .collect();
    let shown: BTreeSet<String> = SHOWN
        .iter()
        .flat_map(|(option, _)| match option.contains("{in,out}") {
            true => vec![
                option.replace("{in,out}", "in"),
                option.replace("{in,out}", "out"),
            ],
            false => vec![(*option).to_owned()],
        })
        .collect();
    let difference: Vec<_> = said.symmetric_difference(&shown).collect();
    assert!(difference.is_empty(), "{difference:#?}");
    assert_eq!(Section::from_name("trunks"), Some(Section::Trunks));
}

#[test]
fn the_tests_that_show_it_exist() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    for directory in [
        "fasp-server/tests/conf",
        "aspera-conf/tests",
        "connect-cli/src/resolve",
        "fasp-net/src/engine",
    ] {
        for entry in fs::read_dir(workspace.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("obeyed.rs") {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let missing: Vec<_> = SHOWN
        .iter()
        .filter(|(_, test)| !sources.contains(&format!("fn {test}(")))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
