//! Is a text a distinguished name? The grammar of RFC 2253 as far as the Java server accepts it for scheme `x509`.
//!
//! Only the shape is judged; names are compared as texts elsewhere. Known attribute names and object identifiers count, any
//! other word does not. The empty text is the empty name.

/// Attribute names that Java knows, besides object identifiers.
const ATTRIBUTES: [&str; 21] = [
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQ",
    "DNQUALIFIER",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];
const OID_PREFIX: &str = "OID.";
/// The first number of an object identifier is at most 2, the second below 40 unless the first is 2.
const MAX_FIRST_ARC: u32 = 2;
const SECOND_ARCS: u32 = 40;

/// True when `text` is a distinguished name.
pub(super) fn is_valid(text: &str) -> bool {
    text.is_empty() || parse_name(text).is_some()
}

/// Attribute by attribute: `name=value`, separated by `,`, `;` or `+`.
fn parse_name(text: &str) -> Option<()> {
    let mut rest = text;
    loop {
        let (attribute, after) = rest.split_once('=')?;
        is_attribute(attribute.trim()).then_some(())?;
        let after = skip_value(after.trim_start_matches([' ', '\n']))?;
        let Some(separator) = after.chars().next() else {
            return Some(());
        };
        rest = after.strip_prefix(separator)?;
    }
}

fn is_attribute(name: &str) -> bool {
    ATTRIBUTES
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        || is_oid(name)
}

fn is_oid(name: &str) -> bool {
    let prefixed = name.get(..OID_PREFIX.len());
    let digits = match prefixed {
        Some(prefix) if prefix.eq_ignore_ascii_case(OID_PREFIX) => {
            name.get(OID_PREFIX.len()..).unwrap_or_default()
        }
        _ => name,
    };
    let is_number = |arc: &str| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit());
    let Some((first, others)) = digits.split_once('.') else {
        return false;
    };
    let second = others.split('.').next().unwrap_or_default();
    if !is_number(first) || !others.split('.').all(is_number) {
        return false;
    }
    match first.parse() {
        Ok(MAX_FIRST_ARC) => true,
        Ok(0..MAX_FIRST_ARC) => second.parse::<u32>().is_ok_and(|arc| arc < SECOND_ARCS),
        _ => false,
    }
}

/// What follows a value: nothing, or the separator and the rest.
fn skip_value(text: &str) -> Option<&str> {
    match text.as_bytes().first() {
        Some(b'#') => skip_encoded(text.strip_prefix('#')?),
        Some(b'"') => skip_quoted(text.strip_prefix('"')?),
        _ => skip_plain(text),
    }
}

/// A value as the hex digits of its DER encoding.
fn skip_encoded(text: &str) -> Option<&str> {
    let end = text.find([',', ';', '+']).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    is_der(&from_hex(digits.trim_end())?).then_some(rest)
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    let byte = |[high, low]: &[u8; 2]| {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok()
    };
    pairs.iter().map(byte).collect()
}

/// A tag, a length and just as many bytes.
fn is_der(bytes: &[u8]) -> bool {
    let [_tag, length, content @ ..] = bytes else {
        return false;
    };
    if *length < 0x80 {
        return content.len() == usize::from(*length);
    }
    let size = usize::from(length & 0x7f);
    if size == 0 || size > 4 || size > content.len() {
        return false;
    }
    let (announced, content) = content.split_at(size);
    let announced = announced
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    u64::try_from(content.len()) == Ok(announced)
}

fn skip_quoted(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\\'])?;
        let (found, after) = rest.get(at..)?.split_at(1);
        if found == "\\" {
            rest = skip_escape(after)?;
            continue;
        }
        let after = after.trim_start_matches([' ', '\n']);
        return (after.is_empty() || after.starts_with([',', ';', '+'])).then_some(after);
    }
}

fn skip_plain(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let Some(at) = rest.find([',', ';', '+', '<', '>', '"', '\\']) else {
            return Some("");
        };
        let found = rest.get(at..)?;
        match found.as_bytes().first() {
            Some(b'\\') => rest = skip_escape(found.strip_prefix('\\')?)?,
            Some(b',' | b';' | b'+') => return Some(found),
            _ => return None,
        }
    }
}

/// Behind a backslash: a special character, or two hex digits.
fn skip_escape(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if ",=+<>#;\"\\ \n".contains(first) {
        return Some(chars.as_str());
    }
    let second = chars.next()?;
    (first.is_ascii_hexdigit() && second.is_ascii_hexdigit()).then_some(chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn names_are_judged_as_java_judges_them() {
        for good in [
            "",
            "CN=a",
            "cn=a",
            "CN=a,O=b",
            "CN=a;O=b",
            "CN=a+OU=b,O=c",
            "CN=",
            "1.2.3=a",
            "OID.1.2.3=a",
            "oid.1.2=a",
            "CN=\"a,b\"",
            "CN=a\\,b",
            "CN=a\\2Cb",
            "CN = a , O = b",
            "CN=a=b",
            "CN=a#b",
            " CN=a",
            "S=x",
            "DNQ=x",
            "C=DEU",
            "CN=a\nO=b",
            "CN=é",
            "2.999=a",
            "0.5=a",
            "CN=a\\ ",
            "CN= ",
            "CN=\"\"",
            "CN=+O=b",
            "CN=a\\\"b",
            "CN=a\\\\",
            "O=a\\+b",
            "CN=#130161",
            "1.02.3=a",
            "01.2.3=a",
            "CN=\\E9",
            "CN=\"a\" , O=b",
            "CN=\"a\"+OU=b",
            "CN=a\0b",
            "2.5.4.6=x y",
            "CN\t=a",
            "CN=a,\nO=b",
            "CN=client one,OU=Ops,O=Rook,C=DE",
        ] {
            assert!(is_valid(good), "{good:?}");
        }
    }

    #[test]
    fn what_java_refuses_is_refused() {
        for bad in [
            " ",
            "CN",
            "=a",
            "CN=a,",
            "CN=a,,O=b",
            ",CN=a",
            "FOO=a",
            "9.9=a",
            "CN=\"a",
            "CN=a\"b",
            "CN=\"a\"b",
            "CN=a\\",
            "CN=a\\zb",
            "CN=#0401",
            "CN=#04",
            "CN=#0",
            "CN=#zz",
            "CN=#",
            "CN=a<b",
            "CN=a>b",
            "E=a",
            "SN=x",
            "GN=x",
            "TITLE=x",
            "CN=a+",
            "1=a",
            "1.40=a",
            "1.2.=a",
            ".1.2=a",
            "CN=a;",
            "NAME=x",
            "CN=a+b",
            "CN=#0403abc",
            "CN=#ff",
            "1.2.3=#1301",
            "+1.2.3=a",
            "CN=\"a\\zb\"",
            "CN=a\\2",
            "C N=a",
        ] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }
}
