//! Opens further sessions of a transfer (protocol §13.1).

use std::collections::BTreeSet;
use std::time::Duration;

use fasp_core::{Role, TransferId};
use tokio::sync::mpsc;

use super::super::agree::{self, Asked, Ground};
use super::super::{Job, OPEN_TIMEOUT};
use super::{Crew, Member, Shared};
use crate::Error;
use crate::control::message::{Accept, Cancel, Refuse};
use crate::control::source_pages;
use crate::engine::FirstPage;
use crate::engine::{self, Lister, ReceiverOptions, SenderOptions, Spawn, Work};
use crate::port::Port;
use crate::request::{Sessions, TransferOptions};

/// How often the rate is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What the server says to an `Open`.
pub(in crate::transfer) type Answer = Result<Accept, Refuse>;

/// Opens the sessions behind the first.
pub(in crate::transfer) struct Recruiter {
    pub(in crate::transfer) crew: Crew,
    pub(in crate::transfer) shared: Shared,
    pub(in crate::transfer) transfer: TransferId,
    pub(in crate::transfer) job: Job,
    pub(in crate::transfer) options: TransferOptions,
    pub(in crate::transfer) ground: Ground,
    pub(in crate::transfer) answers: mpsc::UnboundedReceiver<Answer>,
}

impl Recruiter {
    /// Opens as many sessions as there may be, when it is time for them.
    pub(in crate::transfer) async fn run(mut self) {
        for index in 1..u16::from(self.options.sessions.most()) {
            if self.options.sessions == Sessions::Auto && !self.wait_for_rate().await {
                return;
            }
            if !self.crew.is_open() || !self.shared.join() {
                return;
            }
            if let Err(error) = self.open(index).await {
                // Those that run do the work.
                tracing::info!(%error, index, "no further session");
                self.shared.leave();
                return;
            }
        }
    }

    /// Waits until the transfer is fast enough for another session; false when it is over.
    async fn wait_for_rate(&self) -> bool {
        tokio::time::sleep(Sessions::INTERVAL).await;
        while self.crew.is_open() {
            if self.crew.rate_now() > Sessions::TRIGGER {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    async fn open(&mut self, index: u16) -> Result<(), Error> {
        let (target_rate, min_rate) = self.crew.rates().share(self.crew.count() + 1);
        let options = TransferOptions {
            target_rate,
            min_rate,
            ..self.options.clone()
        };
        let mut open = agree::open(self.transfer, [0; 32], &self.job, &options, Vec::new());
        open.session_index = index;
        // The server shares out what the first session has named.
        source_pages::take_out(&mut open);
        let asked = Asked::of(open);
        self.crew.wish(asked.open.clone());
        let answer = tokio::time::timeout(OPEN_TIMEOUT, self.answers.recv()).await;
        let accept = match answer {
            Ok(Some(Ok(accept))) => accept,
            Ok(Some(Err(refuse))) => return Err(refuse.into()),
            Ok(None) | Err(_) => return Err(Error::ConnectionLost(None)),
        };
        let session = accept.session_id;
        let started = self.start(accept, &asked, &options);
        match started {
            Ok(member) => {
                if !self.crew.join(member) {
                    self.cancel(session);
                }
                Ok(())
            }
            Err(error) => {
                self.cancel(session);
                Err(error)
            }
        }
    }

    fn cancel(&self, session: fasp_core::SessionId) {
        self.crew.wish(Cancel {
            session_id: Some(session),
            code: fasp_core::ErrorCode::Cancelled,
            message: "the session is not needed".into(),
            hint: None,
        });
    }

    fn start(
        &self,
        accept: Accept,
        asked: &Asked,
        options: &TransferOptions,
    ) -> Result<Member, Error> {
        let udp = self.ground.server(&accept, options);
        let port = Port::connect(udp)?;
        let registration = port.register_as(accept.session_id)?;
        let (role, work) = match &self.shared {
            Shared::Send { pool, asks_first } => {
                let lister = Lister::further_of(pool.clone(), options.symlinks, *asks_first)?;
                let work = Work::Send(SenderOptions {
                    lister: lister.into(),
                    first: None,
                    decisions: Vec::new(),
                });
                (Role::Sender, work)
            }
            Shared::Receive {
                destination,
                assembly,
            } => {
                let work = Work::Receive(ReceiverOptions {
                    destination: destination.clone(),
                    rules: agree::rules(options),
                    first_page: FirstPage::AtOnce(accept.first_page.clone()),
                    promised: BTreeSet::new(),
                    assembly: assembly.clone(),
                });
                (Role::Receiver, work)
            }
        };
        let config = agree::configuration(&accept, &self.ground, asked, role, &port, options)?;
        let handle = engine::spawn(Spawn {
            port,
            registration,
            config,
            work,
        })?;
        Ok(Member {
            session: accept.session_id,
            handle,
        })
    }
}
