//! From the text of one value to a typed one.
//!
//! Keys with a meaning of their own in the file are strict: a bad value is an error. Of all other keys a bad
//! value means the default and one warning (operations, 1.1). Defaults come from the table of keys alone.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    error::{Refusal, SettingsError, Warning},
    keys::{self, Kind},
    written::{Chosen, Entry},
};

/// Numbers that Java keeps in an `int`, from zero.
pub(super) const NOT_NEGATIVE: RangeInclusive<i64> = 0..=JAVA_INT_MAX;
/// Numbers that Java keeps in an `int`, from one.
pub(super) const POSITIVE: RangeInclusive<i64> = 1..=JAVA_INT_MAX;
/// Any Java `int`.
pub(super) const ANY_INT: RangeInclusive<i64> = -JAVA_INT_MAX - 1..=JAVA_INT_MAX;
/// Any Java `long`.
pub(super) const ANY_LONG: RangeInclusive<i64> = i64::MIN..=i64::MAX;
const JAVA_INT_MAX: i64 = i32::MAX as i64;

/// Reads typed values and collects warnings.
pub(super) struct Reader<'a> {
    chosen: &'a Chosen,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(chosen: &'a Chosen, warnings: Vec<Warning>) -> Self {
        Self { chosen, warnings }
    }

    /// The entry of a key, unless its value is empty.
    pub(super) fn entry(&self, name: &str) -> Option<&'a Entry> {
        debug_assert!(keys::find(name).is_some(), "{name} has no row in the table");
        self.chosen
            .get(name)
            .filter(|entry| !entry.value.is_empty())
    }

    /// All entries whose row is `row`, in order of their names.
    pub(super) fn entries(&self, row: &'static str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.chosen
            .values()
            .filter(move |entry| entry.key.name == row && !entry.value.is_empty())
    }

    /// All entries, in order of their names.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.chosen.values()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.entry(name).map(|entry| entry.value.clone())
    }

    pub(super) fn warn(&mut self, entry: &Entry, text: &str) {
        let text = format!("{}: {}: {text}", entry.source, entry.name);
        self.warnings.push(Warning::new(&entry.name, text));
    }

    /// A number of a strict key that has a default.
    pub(super) fn strict_number(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<i64, SettingsError> {
        Ok(self
            .strict_optional_number(name, range)?
            .unwrap_or_else(|| default_number(name)))
    }

    /// A number of a strict key that may be absent.
    pub(super) fn strict_optional_number(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, SettingsError> {
        let Some(entry) = self.entry(name) else {
            return Ok(None);
        };
        let number = strict_int(entry)?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        let (least, most) = range.into_inner();
        Err(entry.refuse(Refusal::OutOfRange { least, most }))
    }

    /// A flag of a strict key.
    pub(super) fn strict_flag(&self, name: &str) -> Result<bool, SettingsError> {
        self.entry(name)
            .map_or_else(|| Ok(default_flag(name)), strict_bool)
    }

    /// A number of a lenient key.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<i64>) -> i64 {
        self.number_or(name, range, default_number(name))
    }

    /// A number of a lenient key whose default depends on another one. `0x` and `0` prefixes are understood
    /// where Java understands them, for the two `jute` keys.
    pub(super) fn number_or(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
        default: i64,
    ) -> i64 {
        let Some(entry) = self.entry(name) else {
            return default;
        };
        let number = if name.starts_with("jute.") {
            decode(&entry.value)
        } else {
            decimal(&entry.value)
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                self.warn(
                    entry,
                    &format!("'{}' is no possible number, {default} is used", entry.value),
                );
                default
            }
        }
    }

    /// Milliseconds of a lenient key.
    pub(super) fn millis(&mut self, name: &str, range: RangeInclusive<i64>) -> Duration {
        millis(self.number(name, range))
    }

    /// A flag of a lenient key: `true` in any letter case is true, everything else false.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let Some(entry) = self.entry(name) else {
            return default_flag(name);
        };
        let yes = entry.value.eq_ignore_ascii_case("true");
        if !yes && !entry.value.eq_ignore_ascii_case("false") {
            self.warn(
                entry,
                &format!("'{}' is not true and so means false", entry.value),
            );
        }
        yes
    }

    /// A key of `yes` and `no`, of which only the exact one that is not the default counts.
    pub(super) fn yes_no(&mut self, name: &str) -> bool {
        let default = matches!(
            keys::find(name).map(|key| key.kind),
            Some(Kind::YesNo(true))
        );
        let Some(entry) = self.entry(name) else {
            return default;
        };
        match entry.value.as_str() {
            "yes" => true,
            "no" => false,
            other => {
                let kept = if default { "yes" } else { "no" };
                self.warn(
                    entry,
                    &format!("'{other}' is neither yes nor no and means {kept}"),
                );
                default
            }
        }
    }
}

/// Times that the table states are never negative; a negative one means zero.
pub(super) fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}

/// For numbers whose range was checked: negative ones mean zero.
pub(super) fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// KiB to bytes; zero and less mean none.
pub(super) fn kib(number: i64) -> Option<u64> {
    let kib = u64::try_from(number).ok().filter(|&kib| kib > 0)?;
    Some(kib.saturating_mul(1024))
}

/// A whole number as Java's `Integer` reads it.
pub(super) fn strict_int(entry: &Entry) -> Result<i64, SettingsError> {
    decimal(&entry.value)
        .filter(|number| ANY_INT.contains(number))
        .ok_or_else(|| {
            entry.refuse(Refusal::NotANumber {
                text: entry.value.clone(),
            })
        })
}

/// `true` or `false` in any letter case.
pub(super) fn strict_bool(entry: &Entry) -> Result<bool, SettingsError> {
    match entry.value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(entry.refuse(Refusal::NotABoolean {
            key: entry.name.clone(),
            text: entry.value.clone(),
        })),
    }
}

/// An interval: a number in hours, or with one of the units `ms s m h d`.
pub(super) fn interval(entry: &Entry) -> Result<Option<Duration>, SettingsError> {
    const UNITS: [(&str, u64); 5] = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    const HOUR: u64 = 3_600_000;
    let text = entry.value.as_str();
    let (number, unit) = UNITS
        .iter()
        .find_map(|&(unit, millis)| Some((text.strip_suffix(unit)?.trim_end(), millis)))
        .unwrap_or((text, HOUR));
    let number = decimal(number)
        .filter(|number| ANY_INT.contains(number))
        .ok_or_else(|| {
            entry.refuse(Refusal::NotAnInterval {
                text: entry.value.clone(),
            })
        })?;
    let amount = u64::try_from(number).ok().filter(|&amount| amount > 0);
    Ok(amount.map(|amount| Duration::from_millis(amount.saturating_mul(unit))))
}

fn decimal(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// As Java decodes it: optional sign, then `0x`, `0X` or `#` for hexadecimal, `0` for octal.
fn decode(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = ["0x", "0X", "#"]
        .iter()
        .find_map(|prefix| digits.strip_prefix(prefix));
    let octal = digits.strip_prefix('0').filter(|rest| !rest.is_empty());
    let (digits, radix) = match (hexadecimal, octal) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (digits, 10),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    plain
        .then(|| i64::from_str_radix(digits, radix).ok())
        .flatten()
        .map(|number| sign * number)
}

fn default_number(name: &str) -> i64 {
    match keys::find(name).map(|key| key.kind) {
        Some(Kind::Number(number)) => number,
        other => {
            debug_assert!(false, "{name} is {other:?}, not a number with a default");
            0
        }
    }
}

fn default_flag(name: &str) -> bool {
    let kind = keys::find(name).map(|key| key.kind);
    debug_assert!(
        matches!(kind, Some(Kind::Flag(_))),
        "{name} is {kind:?}, not a flag"
    );
    matches!(kind, Some(Kind::Flag(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Source;

    fn entry(name: &str, value: &str) -> Entry {
        let key = keys::find(name).expect("a key");
        Entry {
            name: name.into(),
            value: value.into(),
            source: Source::BuiltIn,
            key,
        }
    }

    #[test]
    fn java_number_prefixes() {
        for (text, expected) in [
            ("4194304", Some(4_194_304)),
            ("0x400000", Some(4_194_304)),
            ("0XfFfff", Some(1_048_575)),
            ("#10", Some(16)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("-0x10", Some(-16)),
            ("+7", Some(7)),
            ("08", None),
            ("0x", None),
            ("--1", None),
            ("1m", None),
            ("", None),
        ] {
            assert_eq!(decode(text), expected, "{text:?}");
        }
    }

    #[test]
    fn intervals() {
        for (text, expected) in [
            ("1", Some(3_600_000)),
            ("24", Some(86_400_000)),
            ("500ms", Some(500)),
            ("90s", Some(90_000)),
            ("30m", Some(1_800_000)),
            ("2 h", Some(7_200_000)),
            ("7d", Some(604_800_000)),
            ("0", None),
            ("0s", None),
            ("-1", None),
        ] {
            let found = interval(&entry("autopurge.purgeInterval", text));
            assert_eq!(found, Ok(expected.map(Duration::from_millis)), "{text:?}");
        }
        for text in ["x", "1w", "h", "1.5", "1 # hourly"] {
            assert!(
                interval(&entry("autopurge.purgeInterval", text)).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn whole_numbers_are_java_ints() {
        assert_eq!(strict_int(&entry("tickTime", "+2000")), Ok(2000));
        for text in ["2147483648", "2 000", "abc", "0x10", "2000 # two seconds"] {
            assert!(strict_int(&entry("tickTime", text)).is_err(), "{text:?}");
        }
    }
}
