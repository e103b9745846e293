//! What is said at the end of a transfer.

use fasp_net::event::{LackingCount, Outcome};

use super::text::byte_count;

/// Returns the end of a transfer: the two lines that scripts look for, then a line of ours when there is more to say.
///
/// In the first two lines, `K` is 1,024 and seconds are rounded to at least one, as readers of these lines expect.
pub fn summary(outcome: &Outcome) -> String {
    // What these lines speak of was transferred: not what was there from before.
    let moved = outcome.bytes.saturating_sub(outcome.resumed_bytes);
    let kilobytes = moved.div_ceil(1024);
    let seconds = outcome.elapsed_ms.div_ceil(1000).max(1);
    let milliseconds = u128::from(outcome.elapsed_ms.max(1));
    let kilobits = u128::from(moved) * 8 * 1000 / 1024 / milliseconds;
    if outcome.dry_run {
        return planned(outcome);
    }
    let mut text = format!(
        "Completed: {kilobytes}K bytes transferred in {seconds} {}\n ({kilobits}K bits/sec), in {}.\n",
        plural(seconds, "second", "seconds"),
        files(outcome.files_done),
    );
    if let Some(line) = details(outcome) {
        text.push_str(&format!(" {line}\n"));
    }
    text
}

/// The end of a dry run.
fn planned(outcome: &Outcome) -> String {
    let mut text = format!(
        "Would transfer {} of {}; nothing was changed.\n",
        byte_count(outcome.bytes),
        files(outcome.files_done),
    );
    if let Some(line) = details(outcome) {
        text.push_str(&format!(" {line}\n"));
    }
    text
}

fn details(outcome: &Outcome) -> Option<String> {
    let mut parts = Vec::new();
    if outcome.files_skipped > 0 {
        parts.push(format!("{} skipped", files(outcome.files_skipped)));
    }
    if outcome.files_failed > 0 {
        parts.push(format!("{} failed", files(outcome.files_failed)));
    }
    if outcome.loss_ratio >= 0.0005 {
        parts.push(format!("loss {:.1}%", outcome.loss_ratio * 100.0));
    }
    if outcome.resumed_bytes > 0 {
        parts.push(format!(
            "{} were there already",
            byte_count(outcome.resumed_bytes)
        ));
    }
    if outcome.retransmitted_bytes > 0 {
        parts.push(format!(
            "{} sent again",
            byte_count(outcome.retransmitted_bytes)
        ));
    }
    if !outcome.not_kept.is_nothing() {
        let LackingCount { count, what } = outcome.not_kept;
        parts.push(format!("{what} of {} not kept", files(count)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn files(count: u64) -> String {
    format!("{count} {}", plural(count, "file", "files"))
}

fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_lines_are_the_familiar_ones() {
        let outcome = Outcome {
            files_done: 1,
            bytes: 249_998 * 1024,
            elapsed_ms: 21_000,
            ..Outcome::default()
        };
        assert_eq!(
            summary(&outcome),
            "Completed: 249998K bytes transferred in 21 seconds\n (95237K bits/sec), in 1 file.\n"
        );
    }

    #[test]
    fn what_went_wrong_has_a_line_of_its_own() {
        let outcome = Outcome {
            files_done: 4,
            files_skipped: 2,
            files_failed: 1,
            bytes: 10,
            elapsed_ms: 3,
            retransmitted_bytes: 3 << 20,
            loss_ratio: 0.02,
            ..Outcome::default()
        };
        assert_eq!(
            summary(&outcome),
            "Completed: 1K bytes transferred in 1 second\n (26K bits/sec), in 4 files.\n \
             2 files skipped, 1 file failed, loss 2.0%, 3.00 MiB sent again\n"
        );
    }

    #[test]
    fn nothing_at_all_is_no_division_by_zero() {
        assert_eq!(
            summary(&Outcome::default()),
            "Completed: 0K bytes transferred in 1 second\n (0K bits/sec), in 0 files.\n"
        );
    }
}
