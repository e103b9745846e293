//! A client and a server in one process: real UDP sockets and files, the control channel in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use docroot::Docroot;
use fasp_core::{DatagramCipher, Rate};
use fasp_net::Error;
use fasp_net::control::Control;
use fasp_net::control::message::{List, Open};
use fasp_net::control::ssh::client::Connection;
use fasp_net::event::Outcome;
use fasp_net::port::Port;
use fasp_net::request::TransferOptions;
use fasp_net::serve::{Access, Client, Context, Grant, Observer, Refusal, serve};
use fasp_net::transfer::{Job, Transfer};

/// Everything is allowed beneath one root.
#[derive(Debug)]
struct Everything(Docroot);

impl Access for Everything {
    fn session(&self, _: &Client, _: &Open) -> Result<(Grant, Observer), Refusal> {
        let ciphers = vec![
            DatagramCipher::Aes128Gcm,
            DatagramCipher::Aes256Gcm,
            DatagramCipher::None,
        ];
        let mut grant = Grant::new(self.0.clone(), ciphers);
        grant.rates.policy.fixed_cap = Some(Rate::MAX);
        Ok((grant, Box::new(|_, _| ())))
    }

    fn listing(&self, _: &Client, _: &List) -> Result<Docroot, Refusal> {
        Ok(self.0.clone())
    }
}

/// A server on loopback.
#[derive(Clone)]
pub(crate) struct TestServer {
    pub(crate) context: Context,
}

impl TestServer {
    pub(crate) fn new(root: &Path) -> Self {
        let port = Port::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let access = Arc::new(Everything(Docroot::open(root).unwrap()));
        Self {
            context: Context::new(port, access),
        }
    }

    /// A control connection as an external carrier gives it.
    pub(crate) fn connect(&self) -> Connection {
        let (near, far) = tokio::io::duplex(1 << 16);
        let context = self.context.clone();
        tokio::spawn(async move {
            serve(context, Client::external("test".into()), Control::new(far)).await
        });
        Connection {
            control: Control::new(near),
            binding: [0; 32],
            peer: self.context.port.local_address(),
            rtt: Duration::from_millis(1),
            keeper: None,
            path: None,
        }
    }

    pub(crate) async fn run(&self, job: Job, options: &TransferOptions) -> Result<Outcome, Error> {
        let transfer = Transfer::start(self.connect(), job, options).await?;
        tokio::task::spawn_blocking(move || transfer.wait())
            .await
            .unwrap()
    }
}
