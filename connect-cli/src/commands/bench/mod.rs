//! `bench`

mod figures;
mod report;
mod session;
mod verdict;

use fasp_core::ErrorCode;
use tokio::runtime::Runtime;

use self::{
    report::{Measured, Report},
    session::Way,
};
use super::signals::Signals;
use crate::{
    error::CommandError,
    resolve::{BenchRequest, Directions},
    ui::Ui,
};

pub(super) fn run(ui: &Ui, request: &BenchRequest) -> Result<(), CommandError> {
    super::on_runtime(|runtime| run_on(ui, runtime, request))
}

fn run_on(ui: &Ui, runtime: &Runtime, request: &BenchRequest) -> Result<(), CommandError> {
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let ways: &[Way] = match request.directions {
        Directions::Allowed => &[Way::Up, Way::Down],
        Directions::Up => &[Way::Up],
        Directions::Down => &[Way::Down],
    };
    let mut report = Report::new(request);
    for (index, way) in ways.iter().enumerate() {
        let measuring = session::measure(ui, request, *way, &mut signals);
        let measured = match runtime.block_on(measuring) {
            Ok(figures) => Measured::figures(*way, figures, request.target_rate),
            // The other direction may be allowed, unless it was refused as well.
            Err(error) if is_about_account(&error) && report.may_lack(index, ways.len()) => {
                Measured::Refused(error)
            }
            Err(error) => return Err(error),
        };
        report.add(*way, measured);
    }
    report.show(ui)
}

/// Whether the server would not do this for the account, or, as one of an older release, does not know how.
fn is_about_account(error: &CommandError) -> bool {
    let CommandError::Net(fasp_net::Error::Refused { code, .. }) = error else {
        return false;
    };
    matches!(
        code,
        ErrorCode::Authorization | ErrorCode::BadPath | ErrorCode::NoSuchFile
    )
}
