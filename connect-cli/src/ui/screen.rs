//! The terminal that the bar is drawn on.

use std::io::{self, Write as _};

use indicatif::TermLike;
use rustix::termios::tcgetwinsize;

/// Columns at the end of a line that the bar leaves alone: the terminal's driver writes `^C` behind the bar, and the bar
/// could not be removed any more if that began a new line.
const MARGIN: u16 = 3;
/// What a terminal has that does not say how large it is.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// Standard error, without the margin.
#[derive(Debug)]
pub(super) struct Screen;

impl Screen {
    /// Columns and rows that the bar may use now; people change the size of windows.
    fn size() -> (u16, u16) {
        let (columns, rows) = match tcgetwinsize(io::stderr()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => USUAL_SIZE,
        };
        (columns.saturating_sub(MARGIN).max(1), rows)
    }

    /// Returns the columns of a line.
    pub(super) fn columns() -> usize {
        Self::size().0.into()
    }

    /// Writes a control sequence that takes a number, unless there is nowhere to go.
    fn move_by(n: usize, direction: char) -> io::Result<()> {
        match n {
            0 => Ok(()),
            n => write!(io::stderr(), "\x1b[{n}{direction}"),
        }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        Self::size().0
    }

    fn height(&self) -> u16 {
        Self::size().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        Self::move_by(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        Self::move_by(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        Self::move_by(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        Self::move_by(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{text}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}
