//! The addresses of a server: TCP for control, UDP for data.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
};

use aspera_conf::{
    Conf, Record,
    resolve::{Origin, lookup},
    schema::Value,
};
use fasp_net::{
    control::ssh::{
        HostKey,
        server::{Admission, Endpoint},
    },
    port::Port,
};
use tokio::net::TcpListener;

use crate::{Error, ServerSettings, conf::Configuration};

/// How often a free pair of ports is looked for when the port is left to the system.
const PORT_ATTEMPTS: u32 = 16;

/// Which UDP ports are tried.
#[derive(Debug)]
pub(crate) struct UdpPlan {
    /// What the configuration names for the whole node.
    pub(crate) configured: Option<u16>,
    /// In their order; `None` is the number of the TCP port.
    ports: Option<RangeInclusive<u16>>,
}

impl UdpPlan {
    pub(crate) fn of(settings: &ServerSettings, configuration: &Configuration) -> Self {
        let document = configuration.current();
        let configured = document.conf.as_ref().and_then(node_udp_port);
        Self {
            configured,
            ports: settings
                .udp_ports
                .clone()
                .or_else(|| configured.map(|port| port..=port)),
        }
    }

    /// Binds the first that is free.
    fn bind(&self, ip: IpAddr, tcp: u16) -> Result<Port, fasp_net::Error> {
        let ports = self.ports.clone().unwrap_or(tcp..=tcp);
        let mut last = None;
        for number in ports {
            match Port::bind(SocketAddr::new(ip, number)) {
                Ok(port) => return Ok(port),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(fasp_net::Error::Busy))
    }
}

/// The UDP port that the node's section names.
fn node_udp_port(conf: &Conf) -> Option<u16> {
    let setting = lookup(
        conf,
        &Record::Node,
        "transfer_protocol_options_bind_udp_port",
    )
    .ok()?;
    match (setting.origin, setting.value) {
        (Origin::BuiltIn, _) => None,
        (_, Some(Value::Unsigned(number))) => u16::try_from(number).ok(),
        _ => None,
    }
}

/// Binds TCP first and UDP behind it.
pub(crate) async fn bind(
    settings: &ServerSettings,
    udp: &UdpPlan,
    host_key: &HostKey,
    admission: &Arc<dyn Admission>,
) -> Result<(Endpoint, Port), Error> {
    let listen = usable(settings.listen).await;
    let attempts = if listen.port() == 0 { PORT_ATTEMPTS } else { 1 };
    let mut last = None;
    for _ in 0..attempts {
        let admission = Arc::clone(admission);
        let (listener, number) = listener(listen).await?;
        match udp.bind(listen.ip(), number) {
            Ok(port) => {
                let doubling = Some(port.clone());
                let limits = settings.limits;
                let endpoint =
                    Endpoint::start(listener, doubling, host_key.clone(), admission, limits)?;
                return Ok((endpoint, port));
            }
            // Somebody else has that number for UDP.
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| fasp_net::Error::Busy.into(), Error::from))
}

/// Returns a listener and its number.
async fn listener(listen: SocketAddr) -> Result<(TcpListener, u16), Error> {
    let failed = |source| fasp_net::Error::Listen {
        address: listen.to_string(),
        source,
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let number = listener.local_addr().map_err(failed)?.port();
    Ok((listener, number))
}

/// Falls back to all IPv4 addresses where the machine has no IPv6.
async fn usable(listen: SocketAddr) -> SocketAddr {
    let is_any = listen.is_ipv6() && listen.ip().is_unspecified();
    let probe = SocketAddr::new(listen.ip(), 0);
    if is_any && tokio::net::UdpSocket::bind(probe).await.is_err() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), listen.port());
    }
    listen
}
