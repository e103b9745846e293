//! The administrators' end of the socket.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
};

use super::{AdminAnswer, AdminRequest, MAX_ANSWER, PATIENCE};
use crate::{Error, state::StateDir};

/// Speaks to the server of a state directory. Blocks.
#[derive(Debug)]
pub struct AdminClient<'a> {
    state: &'a StateDir,
}

impl<'a> AdminClient<'a> {
    /// Makes a client. Nothing is connected yet.
    pub fn new(state: &'a StateDir) -> Self {
        Self { state }
    }

    /// Asks the server, and returns what it answers.
    ///
    /// # Errors
    /// [`Error::NoServer`] when none answers, [`Error::Admin`] when it refuses.
    pub fn ask(&self, request: &AdminRequest) -> Result<AdminAnswer, Error> {
        let nobody = || Error::NoServer(self.state.path().to_owned());
        let stream = self.state.connect_admin().map_err(|_| nobody())?;
        let line = exchange(stream, request).map_err(|_| nobody())?;
        match super::read(&line) {
            Some(AdminAnswer::Refused { message }) => Err(Error::Admin(message.as_str().into())),
            Some(answer) => Ok(answer),
            None => Err(nobody()),
        }
    }
}

fn exchange(mut stream: UnixStream, request: &AdminRequest) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&super::written(request)?)?;
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut line)?;
    Ok(line)
}
