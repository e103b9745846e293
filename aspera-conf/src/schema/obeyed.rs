//! Which options this project obeys. `conf check` names the others that a file sets.

use super::Section;

/// Whether an option has an effect here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obeyed {
    /// It does what it says.
    Yes,
    /// It does some of it; the text says what is missing.
    Partly(&'static str),
    /// It is recognised, checked and kept, and has no effect.
    No,
}

impl Obeyed {
    /// Returns the word for tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Partly(_) => "partly",
            Self::No => "no",
        }
    }
}

/// Grows with the program: an option is added here together with the code that obeys it and a test that shows it
/// (`fasp-server/tests/conf/obeyed.rs`).
const OBEYED: &[(Section, &str, Obeyed)] = &[
    // This crate itself: which record a value comes from.
    (Section::Default, "name", Obeyed::Yes),
    (Section::Default, "precedence", Obeyed::Yes),
    // Docroot and rights.
    (
        Section::Default,
        "absolute",
        Obeyed::Partly("local directories only"),
    ),
    (Section::Default, "file_restriction", Obeyed::Yes),
    (Section::Default, "read_allowed", Obeyed::Yes),
    (Section::Default, "write_allowed", Obeyed::Yes),
    (Section::Default, "dir_allowed", Obeyed::Yes),
    (
        Section::Default,
        "authorization_transfer_in_value",
        Obeyed::Partly(TOKENS),
    ),
    (
        Section::Default,
        "authorization_transfer_out_value",
        Obeyed::Partly(TOKENS),
    ),
    (
        Section::Default,
        "authorization_transfer_in_external_provider_url",
        Obeyed::Partly(PROVIDERS),
    ),
    (
        Section::Default,
        "authorization_transfer_out_external_provider_url",
        Obeyed::Partly(PROVIDERS),
    ),
    // Rates.
    (
        Section::Default,
        "transfer_in_bandwidth_aggregate_trunk_id",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_target_rate_cap",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_target_rate_default",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_target_rate_lock",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_min_rate_cap",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_min_rate_default",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_min_rate_lock",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_policy_default",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_policy_allowed",
        Obeyed::Partly(FIXED),
    ),
    (
        Section::Default,
        "transfer_in_bandwidth_flow_policy_lock",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_aggregate_trunk_id",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_target_rate_cap",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_target_rate_default",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_target_rate_lock",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_min_rate_cap",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_min_rate_default",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_min_rate_lock",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_policy_default",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_policy_allowed",
        Obeyed::Partly(FIXED),
    ),
    (
        Section::Default,
        "transfer_out_bandwidth_flow_policy_lock",
        Obeyed::Yes,
    ),
    // Clients.
    (Section::Client, "transport_cipher", Obeyed::Yes),
    // Virtual links.
    (Section::Trunks, "id", Obeyed::Yes),
    (Section::Trunks, "trunk_name", Obeyed::Yes),
    (Section::Trunks, "trunk_on", Obeyed::Yes),
    (Section::Trunks, "trunk_capacity", Obeyed::Yes),
    (Section::Trunks, "trunk_ignore_direction", Obeyed::Yes),
    // Encryption.
    (
        Section::Default,
        "transfer_encryption_allowed_cipher",
        Obeyed::Partly("the modes are all GCM, and aes-192 is aes-256"),
    ),
    (
        Section::Default,
        "transfer_encryption_strict_allowed_cipher",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_encryption_fips_mode",
        Obeyed::Partly("sessions are refused where it is on"),
    ),
    (
        Section::Default,
        "transfer_encryption_content_protection_required",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_encryption_content_protection_strong_pass_required",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_encryption_content_protection_secret",
        Obeyed::Partly(PROTECTION),
    ),
    // Sessions.
    (
        Section::Default,
        "transfer_protocol_options_bind_udp_port",
        Obeyed::Yes,
    ),
    (
        Section::Default,
        "transfer_protocol_options_datagram_size",
        Obeyed::Yes,
    ),
    (Section::Default, "connection_timeout_sec", Obeyed::Yes),
    (Section::Default, "session_timeout_sec", Obeyed::Yes),
    (Section::Default, "logging_class", Obeyed::Partly(LOG)),
    (Section::Default, "logging_level", Obeyed::Partly(LOG)),
    (Section::Default, "logging_log_size", Obeyed::Partly(LOG)),
    (Section::Default, "logging_log_count", Obeyed::Partly(LOG)),
    (Section::Logging, "classes", Obeyed::Partly(LOG)),
    (Section::Logging, "level", Obeyed::Partly(LOG)),
    (Section::Logging, "log_size", Obeyed::Partly(LOG)),
    (Section::Logging, "log_count", Obeyed::Partly(LOG)),
    (Section::Default, "transfer_log_files_activity", Obeyed::Yes),
    (Section::Default, "transfer_log_stats_interval", Obeyed::Yes),
    // Files.
    (Section::Default, "overwrite", Obeyed::Yes),
    (
        Section::Default,
        "symbolic_links",
        Obeyed::Partly("follow_wide is follow: nothing leaves the docroot"),
    ),
    (Section::Default, "file_create_mode", Obeyed::Yes),
    (Section::Default, "file_create_grant_mask", Obeyed::Yes),
    (Section::Default, "directory_create_mode", Obeyed::Yes),
    (Section::Default, "directory_create_grant_mask", Obeyed::Yes),
    (Section::Default, "group_ownership", Obeyed::Yes),
    (Section::Default, "preserve_attributes", Obeyed::Yes),
    (
        Section::Default,
        "preserve_xattrs",
        Obeyed::Partly("metafile is none: there are no files beside the files"),
    ),
    (
        Section::Default,
        "replace_illegal_chars",
        Obeyed::Partly("on FAT, exFAT, NTFS and SMB; other file systems refuse no characters"),
    ),
    (Section::Default, "partial_file_suffix", Obeyed::Yes),
    (Section::Default, "resume_suffix", Obeyed::Yes),
    (
        Section::Default,
        "file_filters",
        Obeyed::Partly("the pattern language is that of upload and download"),
    ),
    (
        Section::Default,
        "file_checksum",
        Obeyed::Partly("told in receipts; the transfer itself is always verified"),
    ),
    (Section::Default, "file_manifest", Obeyed::Yes),
    (Section::Default, "file_manifest_path", Obeyed::Yes),
    (
        Section::Default,
        "file_manifest_inprogress_suffix",
        Obeyed::Yes,
    ),
];

const LOG: &str = "for the server's one log";
const TOKENS: &str = "where it asks for a token, transfers are refused";
const PROVIDERS: &str = "nobody is asked: transfers are refused";
const FIXED: &str = "fixed needs a cap as well: of the target rate, or --fixed-policy-cap";
const PROTECTION: &str = "uploads are refused: the server does not encrypt files itself";

pub(super) fn of(section: Section, name: &str) -> Obeyed {
    OBEYED
        .iter()
        .find(|(s, n, _)| *s == section && *n == name)
        .map_or(Obeyed::No, |(_, _, obeyed)| *obeyed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_obeyed_exists() {
        for (section, name, _) in OBEYED {
            assert!(super::super::find(*section, name).is_some(), "{name}");
        }
    }
}
