//! Virtual links: what sessions share, and what it carries at which hour.

use fasp_core::Rate;

use crate::conf::{Conf, Record};
use crate::resolve::{Origin, lookup};
use crate::schema::Value;

/// A virtual link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its number, 1 to 255.
    pub id: u8,
    /// What people call it; may be empty.
    pub name: String,
    /// It counts.
    pub is_on: bool,
    /// What it carries.
    pub capacity: Schedule,
    /// It carries that in each direction; else both share it. Of `trunk_ignore_direction` only a `false` that somebody
    /// wrote says so: sessions of one link stay below its capacity together where nobody says anything.
    pub is_each_way: bool,
}

impl Trunk {
    /// Reads the virtual link of a number; nothing if there is none. What cannot be read as a capacity counts as the
    /// built-in one.
    pub fn of(conf: &Conf, id: u8) -> Option<Self> {
        let record = Record::Trunk(id);
        if !conf.has(&record) {
            return None;
        }
        let value = |name| lookup(conf, &record, name).ok()?.value;
        let text = |name| match value(name) {
            Some(Value::Text(text)) => text,
            _ => String::new(),
        };
        Some(Self {
            id,
            name: text("trunk_name"),
            is_on: value("trunk_on") == Some(Value::Bool(true)),
            capacity: Schedule::parse(&text("trunk_capacity")).unwrap_or_default(),
            is_each_way: lookup(conf, &record, "trunk_ignore_direction").is_ok_and(|setting| {
                setting.origin != Origin::BuiltIn && setting.value == Some(Value::Bool(false))
            }),
        })
    }

    /// Reads every virtual link.
    pub fn all(conf: &Conf) -> Vec<Self> {
        let ids = conf.trunks().into_iter().filter(|id| *id > 0);
        ids.filter_map(|id| Self::of(conf, id)).collect()
    }
}

/// A capacity for every minute of a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The first that holds counts.
    spans: Vec<Span>,
    /// When none holds.
    otherwise: Rate,
}

/// Some hours of some days.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    /// Minute of the day.
    start: u16,
    /// Minute of the day behind the last; not above `start` when it goes over midnight.
    end: u16,
    /// From Monday on.
    days: [bool; 7],
    capacity: Rate,
}

/// A moment in a week, by the clock on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekTime {
    /// 0 is Monday, 6 is Sunday.
    pub day: u8,
    /// Minute of the day, 0 to 1,439.
    pub minute: u16,
}

/// Days as a schedule spells them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// The most spans of a schedule.
const MAX_SPANS: usize = 64;
const MINUTES: u16 = 24 * 60;

/// The text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "should be kbit/s, or spans such as 'start=08 end=19 days=mon,tue capacity=900000' and kbit/s, with semicolons"
)]
pub struct BadSchedule;

impl Default for Schedule {
    /// 50,000 kbit/s at any time.
    fn default() -> Self {
        Self {
            spans: Vec::new(),
            otherwise: Rate::from_kbps(50_000),
        }
    }
}

impl Schedule {
    /// Reads a number of kbit/s, or spans and such a number, with semicolons between them.
    ///
    /// # Errors
    /// [`BadSchedule`].
    pub fn parse(text: &str) -> Result<Self, BadSchedule> {
        let mut schedule = Self::default();
        let mut has_rest = false;
        for part in text.split(';').map(str::trim) {
            if !part.contains('=') {
                if std::mem::replace(&mut has_rest, true) {
                    return Err(BadSchedule);
                }
                schedule.otherwise = rate(part)?;
                continue;
            }
            if schedule.spans.len() >= MAX_SPANS {
                return Err(BadSchedule);
            }
            schedule.spans.push(Span::parse(part)?);
        }
        Ok(schedule)
    }

    /// Returns the capacity at a moment.
    pub fn at(&self, time: WeekTime) -> Rate {
        let span = self.spans.iter().find(|span| span.holds(time));
        span.map_or(self.otherwise, |span| span.capacity)
    }
}

impl Span {
    fn parse(text: &str) -> Result<Self, BadSchedule> {
        let mut span = Self {
            start: 0,
            end: MINUTES,
            days: [true; 7],
            capacity: Rate::ZERO,
        };
        let mut has_capacity = false;
        for field in text.split_ascii_whitespace() {
            match field.split_once('=').ok_or(BadSchedule)? {
                ("start", text) => span.start = minute(text)?,
                ("end", text) => span.end = minute(text)?,
                ("days", text) => span.days = days(text)?,
                ("capacity", text) => {
                    span.capacity = rate(text)?;
                    has_capacity = true;
                }
                _ => return Err(BadSchedule),
            }
        }
        has_capacity.then_some(span).ok_or(BadSchedule)
    }

    fn holds(&self, time: WeekTime) -> bool {
        let on = |day: u8| self.days.get(usize::from(day % 7)) == Some(&true);
        if self.start < self.end {
            return on(time.day) && (self.start..self.end).contains(&time.minute);
        }
        // Over midnight: the morning belongs to the day before.
        (time.minute >= self.start && on(time.day))
            || (time.minute < self.end && on(time.day % 7 + 6))
    }
}

fn rate(text: &str) -> Result<Rate, BadSchedule> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    let kbps: u64 = is_number
        .then(|| text.parse().ok())
        .flatten()
        .ok_or(BadSchedule)?;
    (kbps > 0).then(|| Rate::from_kbps(kbps)).ok_or(BadSchedule)
}

/// `08`, `8`, `24` or `08:30`.
fn minute(text: &str) -> Result<u16, BadSchedule> {
    let (hours, minutes) = text.split_once(':').unwrap_or((text, "0"));
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = number(hours).zip(number(minutes)).ok_or(BadSchedule)?;
    let minute = hours
        .checked_mul(60)
        .ok_or(BadSchedule)?
        .checked_add(minutes);
    minute
        .filter(|minute| minutes < 60 && *minute <= MINUTES)
        .ok_or(BadSchedule)
}

fn days(text: &str) -> Result<[bool; 7], BadSchedule> {
    let mut days = [false; 7];
    for word in text.split(',') {
        let at = DAYS.iter().position(|day| day.eq_ignore_ascii_case(word));
        days[at.ok_or(BadSchedule)?] = true;
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(schedule: &Schedule, day: u8, hour: u16) -> u64 {
        let minute = hour * 60;
        schedule.at(WeekTime { day, minute }).kbps()
    }

    #[test]
    fn the_span_that_holds_counts_and_the_last_number_otherwise() {
        let text = "start=08 end=19 days=mon,tue,wed,thu capacity=900000;1000000";
        let schedule = Schedule::parse(text).unwrap();
        assert_eq!(at(&schedule, 0, 8), 900_000);
        assert_eq!(at(&schedule, 3, 18), 900_000);
        assert_eq!(at(&schedule, 3, 19), 1_000_000);
        assert_eq!(at(&schedule, 4, 12), 1_000_000);
        assert_eq!(at(&Schedule::parse("50").unwrap(), 6, 0), 50);
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_it_begins() {
        let text = "start=22:30 end=6 days=sun capacity=5;9";
        let schedule = Schedule::parse(text).unwrap();
        assert_eq!(at(&schedule, 6, 23), 5);
        assert_eq!(at(&schedule, 0, 5), 5);
        assert_eq!(at(&schedule, 0, 6), 9);
        assert_eq!(at(&schedule, 6, 5), 9);
        assert_eq!(at(&schedule, 6, 22), 9);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "10M",
            "1;2",
            "start=8",
            "start=8 capacity=",
            "start=25 capacity=1",
            "end=8:60 capacity=1",
            "days=mon,xyz capacity=1",
            "hours=8 capacity=1",
            "99999999999999999999",
            "start=99999 capacity=1",
        ] {
            assert_eq!(Schedule::parse(text), Err(BadSchedule), "{text}");
        }
    }
}
