//! The clock on the wall: capacities may follow the time of day.

use aspera_conf::effective::WeekTime;
use jiff::Zoned;

/// Returns the day of the week and the minute of the day here and now.
pub(crate) fn week_time() -> WeekTime {
    at(&Zoned::now())
}

fn at(now: &Zoned) -> WeekTime {
    let day = now.weekday().to_monday_zero_offset();
    let minute = i16::from(now.hour()) * 60 + i16::from(now.minute());
    // Both are never negative.
    WeekTime {
        day: u8::try_from(day).unwrap_or_default(),
        minute: u16::try_from(minute).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        let time = |text: &str| at(&text.parse().unwrap());
        let monday = time("2026-11-23T08:05[Europe/Berlin]");
        assert_eq!((monday.day, monday.minute), (0, 485));
        let sunday = time("2026-11-29T23:59[UTC]");
        assert_eq!((sunday.day, sunday.minute), (6, 1439));
    }
}
