use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A time in UTC, to the microsecond: `2026-11-26 02:31:46.123456 UTC`.
pub(super) struct Utc(pub(super) SystemTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = match self.0.duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_micros()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_micros()).unwrap_or(i128::MAX),
        };
        let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let (days, seconds) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} UTC")
    }
}

/// The date of a day that is so many days after 1970-01-01. Years begin with March here, so that February's end is theirs;
/// see Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
const fn date(days: i128) -> (i128, i128, i128) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + if month <= 2 { 1 } else { 0 }, month, day)
}

/// The part that `time` is of `whole`, in percent. Zero where there is no whole.
pub(super) fn percent(time: Duration, whole: Duration) -> Percent {
    let share = if whole.is_zero() { 0.0 } else { time.as_secs_f64() / whole.as_secs_f64() };
    Percent(share.clamp(0.0, 1.0) * 100.0)
}

#[derive(Clone, Copy)]
pub(super) struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two places are a fifth of a pixel on the widest of screens.
        write!(f, "{}%", (self.0 * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let utc = |seconds: i64| {
            let time = Duration::from_secs(seconds.unsigned_abs());
            Utc(if seconds < 0 { UNIX_EPOCH - time } else { UNIX_EPOCH + time }).to_string()
        };
        assert_eq!(utc(0), "1970-01-01 00:00:00.000000 UTC");
        assert_eq!(utc(-1), "1969-12-31 23:59:59.000000 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59.000000 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00.000000 UTC");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00.000000 UTC");
        assert_eq!(utc(1_795_660_306), "2026-11-26 02:31:46.000000 UTC");
        assert_eq!(utc(-62_135_596_800), "0001-01-01 00:00:00.000000 UTC");
        assert_eq!(Utc(UNIX_EPOCH + Duration::from_nanos(1_999)).to_string(), "1970-01-01 00:00:00.000001 UTC");
    }

    #[test]
    fn percents() {
        let text = |part, whole| percent(Duration::from_millis(part), Duration::from_millis(whole)).to_string();
        assert_eq!(text(0, 0), "0%");
        assert_eq!(text(5, 0), "0%");
        assert_eq!(text(1, 3), "33.33%");
        assert_eq!(text(7, 3), "100%");
    }
}
