//! From what was typed to what a command needs: the environment is read here, and rules between options are
//! applied here.

mod bench;
mod client_conf;
mod conf;
mod crypt;
mod growing;
mod log;
mod protection;
mod rules;
mod server;
mod transfer;

pub use self::{
    bench::{BenchRequest, Directions, bench},
    conf::{ConfFile, conf_file, conf_record, make_conf_directory, read_conf},
    crypt::{CryptRequest, CryptWork, Opening, PassphraseSource, crypt},
    growing::Growing,
    log::log_directory,
    protection::{Protection, Sealing, settings_path},
    rules::ListFile,
    server::{
        LogDestination, NewUser, ServerSettings, SessionSettings, new_user, server_settings,
        session_settings, state_path, user_store,
    },
    transfer::{
        Carrier, Listing, LocalSource, NewHostKeys, Retry, Server, TransferRequest, Work, doctor,
        download, known_hosts_path, ls, upload,
    },
};
