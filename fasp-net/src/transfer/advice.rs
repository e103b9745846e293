//! What a person can try, by the public code alone: for failures that nobody nearer to them has advised on.

use fasp_core::ErrorCode;

/// Returns what to try after a failure with this code, as half a sentence; `None` where only its message can help.
pub fn advice(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::NoSuchFile => "check the spelling of the path",
        ErrorCode::NoPermission => {
            "the permission bits on that machine do not allow it: change them, or use another account or directory"
        }
        ErrorCode::NotADirectory => {
            "name an existing directory, or move the file that is in the way"
        }
        ErrorCode::IsADirectory => {
            "name another destination, or move the directory that is in the way"
        }
        ErrorCode::DataTimeout | ErrorCode::DataFailed => {
            "let UDP to this port through on the firewalls between here and the server"
        }
        ErrorCode::DataBlocked => {
            "let UDP from the server's port through on the firewall on this side"
        }
        ErrorCode::FeedbackBlocked => "let UDP in both directions through on the firewalls between",
        ErrorCode::Cancelled
        | ErrorCode::Stalled
        | ErrorCode::ConnectionLost
        | ErrorCode::PeerAborted => {
            "run the same command again to go on: complete files are skipped, others continued"
        }
        ErrorCode::ControlFailed | ErrorCode::ControlTimeout => {
            "check that the server runs and that firewalls let its TCP port through"
        }
        ErrorCode::Authentication => "check the user name and the credentials",
        ErrorCode::Authorization | ErrorCode::Unauthorized => {
            "ask the server's owner for the right to do this"
        }
        ErrorCode::BadPath => "name a path below the directory that 'connect-cli ls' shows",
        ErrorCode::NotRegular => {
            "only files, directories and links can be transferred: leave this one out"
        }
        ErrorCode::TooManyOpenFiles => {
            "raise the limit of open files (ulimit -n), or try again later"
        }
        ErrorCode::FileTooBig => {
            "use a target whose file system and limits (ulimit -f) allow files of this size"
        }
        ErrorCode::NoSpace => "free space on the target and run the same command again",
        ErrorCode::ReadOnly => {
            "use another target directory, or have the file system mounted for writing"
        }
        ErrorCode::SomeFilesFailed => "mend what is named above and run the same command again",
        ErrorCode::OutOfMemory | ErrorCode::ThreadSpawn => {
            "try again when the machine has less to do"
        }
        ErrorCode::DiskRead => {
            "check the source's disk, and that nobody changes the file; then run the same command again"
        }
        ErrorCode::DiskWrite => "check the target's disk; then run the same command again",
        ErrorCode::Passphrase => {
            "run the same command with another passphrase: what has arrived is not fetched again"
        }
        ErrorCode::Envelope => "have the file protected and sent again",
        ErrorCode::AlreadyExists => "use --overwrite to say when existing files are replaced",
        ErrorCode::StatFailed => "check the disk and the permission bits of the directories above",
        ErrorCode::PathTooLong => "use shorter names, or fewer directories above them",
        ErrorCode::IllegalName => "give the file another name",
        ErrorCode::LinkLoop => "remove a link of the loop, or add --symbolic-links skip",
        ErrorCode::CannotRenamePartial => "check the permission bits of the target directory",
        ErrorCode::SocketSetUp => "check that no other program uses the address and the port",
        ErrorCode::Nothing => "name at least one file or directory that exists",
        ErrorCode::Protocol => "use the same release of the program on both sides",
        ErrorCode::Internal => "this is a defect of the program: please report it",
        _ => return None,
    })
}
