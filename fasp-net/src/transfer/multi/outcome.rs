//! One result of several sessions.

use fasp_core::ErrorCode;

use crate::engine::Finish;
use crate::event::{FAILURES_NAMED, Outcome};

/// Joins the ends of sessions that did all of their work; the second value says why the transfer failed all the same.
pub(in crate::transfer) fn merge(finishes: &[&Finish]) -> (Outcome, Option<(ErrorCode, String)>) {
    if let [only] = finishes {
        return (only.outcome.clone(), only.error.clone());
    }
    let mut whole = Outcome::default();
    let mut lost = 0.0;
    for Outcome {
        files_done,
        files_skipped,
        files_failed,
        bytes,
        resumed_bytes,
        elapsed_ms,
        retransmitted_bytes,
        loss_ratio,
        failures,
        not_kept,
        ..
    } in finishes.iter().map(|finish| &finish.outcome)
    {
        whole.files_done += files_done;
        whole.files_skipped += files_skipped;
        whole.files_failed += files_failed;
        whole.bytes += bytes;
        whole.resumed_bytes += resumed_bytes;
        // The first session lasts from the beginning to the end.
        whole.elapsed_ms = whole.elapsed_ms.max(*elapsed_ms);
        whole.retransmitted_bytes += retransmitted_bytes;
        whole.not_kept.add_all(*not_kept);
        lost += loss_ratio / finishes.len() as f64;
        let room = FAILURES_NAMED - whole.failures.len().min(FAILURES_NAMED);
        whole.failures.extend(failures.iter().take(room).cloned());
    }
    whole.loss_ratio = lost;
    whole.set_mean_rate();
    let error = failed(&whole, finishes);
    (whole, error)
}

/// One file that failed, or many for one reason, fail the transfer for that reason.
fn failed(whole: &Outcome, finishes: &[&Finish]) -> Option<(ErrorCode, String)> {
    let mut errors = finishes.iter().filter_map(|finish| finish.error.as_ref());
    let (first, text) = errors.next()?;
    let others = errors.count();
    let (code, count) = (whole.code()?, whole.files_failed);
    let is_one_reason = others == 0 || whole.failures.iter().all(|f| f.code == *first);
    let none_done = whole.files_done + whole.files_skipped == 0;
    let code = match none_done && is_one_reason {
        true => *first,
        false => code,
    };
    let text = match (others, whole.failures.first()) {
        (0, _) | (_, None) => text.clone(),
        (_, Some(f)) => format!(
            "{count} files failed, the first was {}: {}",
            f.path, f.message
        ),
    };
    Some((code, text))
}

#[cfg(test)]
mod tests {
    use fasp_core::session::Statistics;

    use super::*;
    use crate::event::FileFailure;

    fn finish(done: u64, failed: &[ErrorCode]) -> Finish {
        let mut outcome = Outcome {
            files_done: done,
            bytes: done * 1000,
            elapsed_ms: 10 * done,
            ..Outcome::default()
        };
        for code in failed {
            outcome.add_failure(FileFailure {
                path: "x".into(),
                code: *code,
                message: "bad".into(),
            });
        }
        let error = failed.first().map(|code| (*code, "x: bad".to_owned()));
        Finish {
            outcome,
            error,
            by_peer: false,
            path: None,
            statistics: Statistics::default(),
        }
    }

    #[test]
    fn figures_are_summed_and_the_longest_time_counts() {
        let (a, b) = (finish(3, &[]), finish(5, &[]));
        let (outcome, error) = merge(&[&a, &b]);
        assert_eq!((outcome.files_done, outcome.bytes), (8, 8000));
        assert_eq!((outcome.elapsed_ms, outcome.mean_rate_kbps), (50, 1280));
        assert_eq!(error, None);
    }

    #[test]
    fn one_reason_for_all_files_is_the_transfer_s_and_several_are_some_files_failed() {
        use ErrorCode::{DiskRead, NoSpace, SomeFilesFailed};
        for (sessions, code) in [
            ([finish(0, &[NoSpace]), finish(0, &[NoSpace])], NoSpace),
            ([finish(0, &[NoSpace]), finish(0, &[])], NoSpace),
            (
                [finish(0, &[NoSpace]), finish(0, &[DiskRead])],
                SomeFilesFailed,
            ),
            ([finish(0, &[NoSpace]), finish(1, &[])], SomeFilesFailed),
        ] {
            let (_, error) = merge(&[&sessions[0], &sessions[1]]);
            assert_eq!(error.map(|(code, _)| code), Some(code));
        }
    }
}
