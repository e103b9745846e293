//! The reports of all sessions of a transfer, one after the other.

use crossbeam_channel::{Receiver, Select};
use fasp_core::SessionId;

use super::Member;
use crate::control::message;
use crate::engine::Report;

/// Something that a session or the control connection says.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one at a time, moved once"
)]
pub(in crate::transfer) enum News {
    /// A session began; they count from 0 in the order of this.
    Joined(SessionId),
    /// Of the session with this number.
    Report(usize, Report),
    /// The thread of a session is gone without a last report.
    Lost,
    /// From the server, as the sender of a download.
    Figures(message::Statistics),
    /// Every session that began has ended.
    End,
}

/// Waits for several sessions at once.
#[derive(Debug)]
pub(in crate::transfer) struct Gather {
    sessions: Vec<(Receiver<Report>, bool)>,
    /// The session that is listened to first.
    turn: usize,
    joins: Option<Receiver<Member>>,
    figures: Option<Receiver<message::Statistics>>,
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    Session(usize),
    Joins,
    Figures,
}

impl Gather {
    pub(in crate::transfer) fn new(
        joins: Receiver<Member>,
        figures: Receiver<message::Statistics>,
    ) -> Self {
        Self {
            sessions: Vec::new(),
            turn: 0,
            joins: Some(joins),
            figures: Some(figures),
        }
    }

    /// Waits for what comes next.
    pub(in crate::transfer) fn next(&mut self) -> News {
        // One who joins is known before the end can be.
        if let Some(member) = self.joins.as_ref().and_then(|joins| joins.try_recv().ok()) {
            return self.add(member);
        }
        if self.sessions.iter().all(|(_, is_running)| !is_running) {
            return News::End;
        }
        loop {
            if let Some(news) = self.poll() {
                return news;
            }
            self.wait();
        }
    }

    /// Takes what is there already; no session talks while another one waits for its turn.
    fn poll(&mut self) -> Option<News> {
        let count = self.sessions.len();
        for number in (self.turn..count).chain(0..self.turn.min(count)) {
            if self.sessions[number].1
                && let Some(news) = self.take(Origin::Session(number))
            {
                self.turn = number + 1;
                return Some(news);
            }
        }
        self.take(Origin::Joins)
            .or_else(|| self.take(Origin::Figures))
    }

    fn wait(&self) {
        let mut select = Select::new();
        for (reports, _) in self.sessions.iter().filter(|(_, is_running)| *is_running) {
            select.recv(reports);
        }
        if let Some(joins) = &self.joins {
            select.recv(joins);
        }
        if let Some(figures) = &self.figures {
            select.recv(figures);
        }
        select.ready();
    }

    fn take(&mut self, origin: Origin) -> Option<News> {
        use crossbeam_channel::TryRecvError::{Disconnected, Empty};
        match origin {
            Origin::Session(number) => {
                let (reports, is_running) = &mut self.sessions[number];
                match reports.try_recv() {
                    Ok(report) => {
                        *is_running = !matches!(report, Report::Finished(_));
                        Some(News::Report(number, report))
                    }
                    Err(Empty) => None,
                    Err(Disconnected) => {
                        *is_running = false;
                        Some(News::Lost)
                    }
                }
            }
            Origin::Joins => match self.joins.as_ref()?.try_recv() {
                Ok(member) => Some(self.add(member)),
                Err(Empty) => None,
                Err(Disconnected) => {
                    self.joins = None;
                    None
                }
            },
            Origin::Figures => match self.figures.as_ref()?.try_recv() {
                Ok(figures) => Some(News::Figures(figures)),
                Err(Empty) => None,
                // The control connection is gone; the sessions' own ends follow.
                Err(Disconnected) => {
                    self.figures = None;
                    None
                }
            },
        }
    }

    fn add(&mut self, member: Member) -> News {
        self.sessions.push((member.handle.reports, true));
        News::Joined(member.session)
    }
}
