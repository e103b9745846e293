//! The public FASP error codes: the numbers users, logs and management clients already know.

use std::fmt;

/// Who has to act before the same request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The person or program that asked: a wrong name, password, option or path.
    Caller,
    /// The other side: it broke the protocol, refused, or went away.
    Peer,
    /// The network between the two.
    Network,
    /// A disk, a file system or memory on the machine that reports the code.
    Host,
}

macro_rules! error_codes {
    ($($number:literal $variant:ident $symbol:literal $meaning:literal $retry:ident $fault:ident,)*) => {
        /// A stable error code, as the field publishes them.
        ///
        /// Every crate's error type maps to one of these; the number goes to peers, logs and JSON output.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum ErrorCode {
            $(#[doc = concat!("Code ", stringify!($number), ": ", $meaning, ".")] $variant = $number,)*
        }

        impl ErrorCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the code with this number, if it is a published one.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Returns the published symbol, such as `NO_SUCH_FILE`.
            pub const fn symbol(self) -> &'static str {
                match self { $(Self::$variant => $symbol,)* }
            }

            /// Returns what the code means, as half a sentence without a full stop.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// Returns true when the same request may succeed later without anybody changing anything.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$variant => error_codes!(@$retry),)* }
            }

            /// Returns who has to act.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)* }
            }
        }
    };
    (@retry) => { true };
    (@never) => { false };
}

error_codes! {
    0 Unknown "UNKNOWN" "unspecified error" never Host,
    1 Protocol "FASP_PROTO" "protocol error" never Peer,
    2 Copy "ASCP" "generic transfer error" never Host,
    3 AmbiguousTarget "AMBIGUOUS_TARGET" "target wrongly specified" never Caller,
    4 NoSuchFile "NO_SUCH_FILE" "no such file or directory" never Caller,
    5 NoPermission "NO_PERMS" "no permission" never Caller,
    6 NotADirectory "NOT_DIR" "the target is not a directory" never Caller,
    7 IsADirectory "IS_DIR" "a directory where a file was expected" never Caller,
    8 Usage "USAGE" "wrong command line" never Caller,
    11 Internal "INTERNAL_ERROR" "internal error" never Host,
    12 ControlFailed "TRANSFER_ERROR" "the control connection failed" retry Network,
    13 ControlTimeout "TRANSFER_TIMEOUT" "the control connection timed out" retry Network,
    14 DataFailed "CONNECTION_ERROR" "the UDP connection failed" retry Network,
    15 DataTimeout "CONNECTION_TIMEOUT" "the UDP connection timed out" retry Network,
    16 ConnectionLost "CONNECTION_LOST" "the connection was lost" retry Network,
    17 FeedbackBlocked "RCVR_SEND_ERROR" "the receiver cannot send feedback" retry Network,
    18 DataBlocked "RCVR_RECV_ERROR" "the receiver cannot receive data" retry Network,
    19 Authentication "AUTH" "authentication failed" never Caller,
    20 Nothing "NOTHING" "nothing to transfer" never Caller,
    21 NotRegular "NOT_REGULAR" "not a regular file" never Caller,
    22 FileTableOverflow "FILE_TABLE_OVR" "too many files in one transfer" never Caller,
    23 TooManyOpenFiles "TOO_MANY_FILES" "too many open files" retry Host,
    24 FileTooBig "FILE_TOO_BIG" "the file is too big for the file system" never Host,
    25 NoSpace "NO_SPACE_LEFT" "no space left on the target" never Host,
    26 ReadOnly "READ_ONLY_FS" "the target is on a read-only file system" never Host,
    27 SomeFilesFailed "SOME_FILE_ERRS" "some files failed" never Caller,
    28 Cancelled "USER_CANCEL" "cancelled" never Caller,
    31 SocketSetUp "SOCK_SETUP" "the socket could not be set up" never Host,
    32 OutOfMemory "OUT_OF_MEMORY" "out of memory" retry Host,
    33 ThreadSpawn "THREAD_SPAWN" "a thread could not be started" retry Host,
    34 Unauthorized "UNAUTHORIZED" "refused by the authorization" never Caller,
    35 DiskRead "DISK_READ" "the source could not be read" retry Host,
    36 DiskWrite "DISK_WRITE" "the target could not be written" retry Host,
    37 Authorization "AUTHORIZATION" "not allowed" never Caller,
    39 PeerAborted "PEER_ABORTED_SESSION" "the other side ended the session" retry Peer,
    40 Stalled "DATA_TRANSFER_TIMEOUT" "no data arrived any more" retry Network,
    41 BadPath "BAD_PATH" "the path is outside the docroot" never Caller,
    42 AlreadyExists "ALREADY_EXISTS" "the target exists already" never Caller,
    43 StatFailed "STAT_FAILS" "the file's attributes could not be read" never Host,
    44 PathSetUp "PMTU_BRTT_ERROR" "the path's size or round-trip time could not be found" retry Network,
    45 BandwidthMeasurement "BWMEAS_ERROR" "the bandwidth could not be measured" retry Network,
    46 VirtualLink "VLINK_ERROR" "virtual link error" never Host,
    47 HttpFailed "CONNECTION_ERROR_HTTP" "the HTTP connection failed" retry Network,
    48 Envelope "FILE_ENCRYPTION_ERROR" "the protected file is damaged or cannot be made" never Caller,
    49 Passphrase "FILE_DECRYPTION_PASS" "wrong passphrase" never Caller,
    50 BadConfiguration "BAD_CONFIGURATION" "invalid configuration" never Caller,
    51 HostKey "INSECURE_CONNECTION" "the host key is not the expected one" never Peer,
    55 PathTooLong "FILEPATH_TOO_LONG" "the path is too long" never Caller,
    56 IllegalName "ILLEGAL_CHARS_IN_PATH" "the name has characters that the target refuses" never Caller,
    59 RemoteStorage "REMOTE_STORAGE_ERROR" "the storage behind the server failed" never Peer,
    63 LinkLoop "LINK_LOOP" "symbolic links form a loop" never Caller,
    64 CannotRenamePartial "CANNOT_RENAME_PARTIAL_FILES" "the finished file could not be renamed" never Host,
    65 CipherRefused "CIPHER_NON_COMPAT_FIPS" "the cipher is not allowed" never Caller,
    66 PeerRequiresCipher "PEER_REQUIRES_FIPS" "the other side demands another cipher" never Caller,
}

impl ErrorCode {
    /// Returns the number that travels to peers, logs and JSON output.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.meaning())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_symbols_are_unique_and_round_trip() {
        for (i, a) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(ErrorCode::from_number(a.number()), Some(*a));
            for b in &ErrorCode::ALL[i + 1..] {
                assert_ne!(a.number(), b.number());
                assert_ne!(a.symbol(), b.symbol());
            }
        }
    }

    #[test]
    fn authentication_like_failures_are_never_retried() {
        for code in [
            ErrorCode::Authentication,
            ErrorCode::Authorization,
            ErrorCode::Unauthorized,
            ErrorCode::HostKey,
            ErrorCode::Passphrase,
            ErrorCode::BadPath,
        ] {
            assert!(!code.is_retryable(), "{code:?}");
        }
    }
}
