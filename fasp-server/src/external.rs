//! One client that came through somebody else's SSH server: what `connect-cli server session` runs.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

use docroot::Docroot;
use fasp_core::{DatagramCipher, ErrorCode};
use fasp_net::{
    control::{
        Control,
        message::{List, Open},
    },
    port::Port,
    serve::{self, Access, Client, Context, Grant, Observer, Refusal},
};

use crate::Error;

/// The UDP ports tried first: firewalls that know the protocol let these through.
pub const USUAL_UDP_PORTS: RangeInclusive<u16> = 33001..=33100;

/// The rights of the account that runs this process: the machine's own permissions decide, as they do for `scp`.
#[derive(Debug, Clone)]
struct OwnAccount {
    home: PathBuf,
}

/// Serves the client at the other end of `control` until it leaves.
///
/// Paths with a leading `/` are the machine's, all others start in `home`. Data comes to `udp_port`, or with `None` to
/// one of [`USUAL_UDP_PORTS`] or any other that is free. Must run on a tokio runtime.
///
/// # Errors
/// [`Error::Net`] when there is no port, or the client breaks the protocol.
pub async fn serve_external(
    control: Control,
    user: String,
    home: PathBuf,
    udp_port: Option<u16>,
) -> Result<(), Error> {
    let context = Context::new(data_port(udp_port)?, Arc::new(OwnAccount { home }));
    serve::serve(context, Client::external(user), control).await?;
    Ok(())
}

fn data_port(wanted: Option<u16>) -> Result<Port, Error> {
    if let Some(port) = wanted {
        return bind(port);
    }
    USUAL_UDP_PORTS
        .clone()
        .find_map(|port| bind(port).ok())
        .map_or_else(|| bind(0), Ok)
}

/// Binds a port of all addresses; of IPv4 only where there is no IPv6.
fn bind(port: u16) -> Result<Port, Error> {
    let both = SocketAddr::from(([0u16; 8], port));
    let bound = Port::bind(both).or_else(|_| Port::bind(SocketAddr::from(([0, 0, 0, 0], port))));
    Ok(bound?)
}

impl OwnAccount {
    /// Returns the root for paths that are all absolute or all relative.
    fn root<'a>(&self, mut paths: impl Iterator<Item = &'a Vec<u8>>) -> Result<Docroot, Refusal> {
        let is_absolute = |path: &Vec<u8>| path.starts_with(b"/");
        let first = paths.next().is_some_and(is_absolute);
        if paths.any(|path| is_absolute(path) != first) {
            return Err(Refusal::new(
                ErrorCode::AmbiguousTarget,
                "some paths are absolute and some start in the home directory",
            )
            .hint("write all paths with a leading '/', or none"));
        }
        let root = if first { Path::new("/") } else { &self.home };
        Docroot::open(root)
            .map_err(|error| Refusal::new(error.code(), format!("{}: {error}", root.display())))
    }
}

impl Access for OwnAccount {
    fn session(&self, _: &Client, open: &Open) -> Result<(Grant, Observer), Refusal> {
        let destination = open.sources.is_empty().then_some(&open.destination);
        let root = self.root(open.sources.iter().chain(destination))?;
        let ciphers = vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm];
        Ok((Grant::new(root, ciphers), Box::new(|_, _| {})))
    }

    fn listing(&self, _: &Client, list: &List) -> Result<Docroot, Refusal> {
        self.root(std::iter::once(&list.path))
    }
}
