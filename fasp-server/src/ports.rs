//! The UDP ports of a server: its own, and those that the configuration names for some accounts.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use fasp_core::ErrorCode;
use fasp_net::{port::Port, serve::Refusal};
use tracing::error;

use crate::policy::ADMINISTRATOR;

/// Bound ports. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    main: Port,
    /// What the configuration names for the whole server: its own port stands for that, whatever it got.
    configured: Option<u16>,
    others: Arc<Mutex<BTreeMap<u16, Port>>>,
}

impl Ports {
    pub(crate) fn new(main: Port, configured: Option<u16>) -> Self {
        Self {
            main,
            configured,
            others: Arc::default(),
        }
    }

    /// Returns the port of a number, bound when it is first asked for; the server's own without one.
    pub(crate) fn of(&self, number: Option<u16>) -> Result<Port, Refusal> {
        let main = self.main.local_address();
        let is_main = |number: &u16| *number == main.port() || Some(*number) == self.configured;
        let Some(number) = number.filter(|number| !is_main(number)) else {
            return Ok(self.main.clone());
        };
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = others.get(&number) {
            return Ok(port.clone());
        }
        let port = bind(main.ip(), number).map_err(|why| {
            error!(port = number, "the UDP port cannot be used: {why}");
            let text = "the UDP port for this account is not available on the server";
            Refusal::new(ErrorCode::SocketSetUp, text).hint(ADMINISTRATOR)
        })?;
        others.insert(number, port.clone());
        Ok(port)
    }
}

fn bind(ip: IpAddr, number: u16) -> Result<Port, fasp_net::Error> {
    Port::bind(SocketAddr::new(ip, number))
}
