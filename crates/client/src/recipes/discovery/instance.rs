//! An instance of a service, and its text in a znode.
//!
//! The text is that of Curator's default serializer, byte for byte: JSON without spaces, keys in a fixed order, what Jackson escapes
//! escaped as Jackson does it. Anything that Curator reads is read.

use std::fmt::{self, Write as _};
use std::net::Ipv6Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::json::{self, Element, Value, quote};
use crate::recipes::protected::uuid;

/// How long an instance is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ServiceKind {
    /// As long as its session lives.
    #[default]
    Dynamic,
    /// The same, in a znode with a number.
    DynamicSequential,
    /// Until it is unregistered.
    Static,
    /// Until it is unregistered; the service has only this one.
    Permanent,
}

impl ServiceKind {
    const ALL: [Self; 4] = [
        Self::Dynamic,
        Self::DynamicSequential,
        Self::Static,
        Self::Permanent,
    ];

    /// True when it ends with the session.
    #[must_use]
    pub const fn is_dynamic(self) -> bool {
        matches!(self, Self::Dynamic | Self::DynamicSequential)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "DYNAMIC",
            Self::DynamicSequential => "DYNAMIC_SEQUENTIAL",
            Self::Static => "STATIC",
            Self::Permanent => "PERMANENT",
        }
    }
}

/// What a service says of itself beyond its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A text.
    Text(String),
    /// Any other JSON, as text: as it was read, or as it is to be written.
    Json(String),
}

/// A part of a [`UriSpec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriPart {
    /// A text, or the name of a variable.
    pub value: String,
    /// It is the name of a variable.
    pub is_variable: bool,
}

/// How the address of a service is made of its parts, such as `{scheme}://{address}:{port}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UriSpec {
    /// In order.
    pub parts: Vec<UriPart>,
}

impl UriSpec {
    /// Reads a template: what is in braces is a variable. A brace that is not closed is a text.
    #[must_use]
    pub fn parse(template: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, name, behind)) = next_variable(rest) {
            parts.extend(part(text, false));
            parts.extend(part(name, true));
            rest = behind;
        }
        parts.extend(part(rest, false));
        Self { parts }
    }

    /// The address. Variables are `scheme` (`https` where there is a TLS port, else `http`), `name`, `id`, `address`, `port`,
    /// `ssl-port`, `registration-time-utc`, `service-type` (in lower case), and `[` and `]` for braces. What is not known is left
    /// out.
    #[must_use]
    pub fn build(&self, of: &ServiceInstance) -> String {
        let text = |part: &UriPart| match part.is_variable {
            true => of.variable(&part.value).unwrap_or_default(),
            false => part.value.clone(),
        };
        self.parts.iter().map(text).collect()
    }
}

fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, behind) = rest.split_once('}')?;
    Some((before, name, behind))
}

fn part(value: &str, is_variable: bool) -> Option<UriPart> {
    (!value.is_empty()).then(|| UriPart {
        value: value.to_owned(),
        is_variable,
    })
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInstance {
    /// The service: a name of a znode.
    pub name: String,
    /// Unique within the service: a name of a znode.
    pub id: String,
    /// Host name or address.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<i32>,
    /// Its port for TLS.
    pub ssl_port: Option<i32>,
    /// What it says of itself.
    pub payload: Option<Payload>,
    /// When it was made, in milliseconds since 1970.
    pub registered_at_ms: i64,
    /// How long it is registered.
    pub kind: ServiceKind,
    /// How its address is made.
    pub uri: Option<UriSpec>,
    /// It may be used. One that is not is registered all the same, and providers pass over it.
    pub is_enabled: bool,
}

/// Why a text is not an instance.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this is no instance of a service: {why}")]
pub struct NotAnInstance {
    /// What is wrong.
    pub why: String,
}

/// `shop 10.0.0.1:80 (ID)`: the service, where it is, and which instance.
impl fmt::Display for ServiceInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint();
        let place = endpoint.as_deref().unwrap_or("nowhere");
        write!(f, "{} {place} ({})", self.name, self.id)
    }
}

impl ServiceInstance {
    /// A dynamic instance of a service, with a random id, made now.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "an instance tells when it was made"
    )]
    pub fn new(name: impl Into<String>, address: impl Into<String>, port: u16) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        Self {
            name: name.into(),
            id: uuid(),
            address: Some(address.into()),
            port: Some(i32::from(port)),
            ssl_port: None,
            payload: None,
            registered_at_ms: now,
            kind: ServiceKind::Dynamic,
            uri: None,
            is_enabled: true,
        }
    }

    /// Host and port as one connects to them: `10.0.0.1:80`, `[::1]:80`. Without a port the host alone, and nothing without a host.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        let host = self.address.as_deref()?;
        let Some(port) = self.port.or(self.ssl_port) else {
            return Some(host.to_owned());
        };
        Some(match host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]:{port}"),
            Err(_) => format!("{host}:{port}"),
        })
    }

    /// The address by its [`UriSpec`], if it has one.
    #[must_use]
    pub fn uri(&self) -> Option<String> {
        self.uri.as_ref().map(|spec| spec.build(self))
    }

    /// Its text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        out.push_str("{\"name\":");
        quote(&mut out, &self.name);
        out.push_str(",\"id\":");
        quote(&mut out, &self.id);
        out.push_str(",\"address\":");
        quote_or_null(&mut out, self.address.as_deref());
        number(&mut out, "port", self.port);
        number(&mut out, "sslPort", self.ssl_port);
        out.push_str(",\"payload\":");
        match &self.payload {
            Some(Payload::Json(json)) => out.push_str(json),
            Some(Payload::Text(text)) => quote(&mut out, text),
            None => out.push_str("null"),
        }
        number(&mut out, "registrationTimeUTC", Some(self.registered_at_ms));
        out.push_str(",\"serviceType\":");
        quote(&mut out, self.kind.name());
        out.push_str(",\"uriSpec\":");
        write_uri(&mut out, self.uri.as_ref());
        if !self.is_enabled {
            // Readers take it as true where it is not there, and older ones know nothing of it.
            out.push_str(",\"enabled\":false");
        }
        out.push('}');
        out
    }

    /// Reads its text. Keys that are not known are passed over.
    pub fn from_json(text: &[u8]) -> Result<Self, NotAnInstance> {
        let text = std::str::from_utf8(text).map_err(|error| no(error.to_string()))?;
        let all = json::parse(text).map_err(no)?;
        let text = |key: &str| all.field(key)?.text().map(str::to_owned);
        let uri = all.field("uriSpec").map(read_uri).transpose()?;
        Ok(Self {
            name: text("name").ok_or_else(|| no("it has no name"))?,
            id: text("id").ok_or_else(|| no("it has no id"))?,
            address: text("address"),
            port: read_port(&all, "port")?,
            ssl_port: read_port(&all, "sslPort")?,
            payload: all.field("payload").map(read_payload),
            registered_at_ms: all
                .field("registrationTimeUTC")
                .and_then(Element::whole)
                .unwrap_or(0),
            kind: read_kind(text("serviceType"))?,
            uri,
            is_enabled: all.field("enabled").and_then(Element::bool).unwrap_or(true),
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        let number = |number: Option<i32>| number.map(|number| number.to_string());
        match name {
            "scheme" if self.ssl_port.is_some() => Some("https".to_owned()),
            "scheme" => Some("http".to_owned()),
            "name" => Some(self.name.clone()),
            "id" => Some(self.id.clone()),
            "address" => self.address.clone(),
            "port" => number(self.port),
            "ssl-port" => number(self.ssl_port),
            "registration-time-utc" => Some(self.registered_at_ms.to_string()),
            "service-type" => Some(self.kind.name().to_ascii_lowercase()),
            "[" => Some("{".to_owned()),
            "]" => Some("}".to_owned()),
            _ => None,
        }
    }
}

fn no(why: impl Into<String>) -> NotAnInstance {
    NotAnInstance { why: why.into() }
}

fn read_port(all: &Element<'_>, key: &str) -> Result<Option<i32>, NotAnInstance> {
    let Some(port) = all.field(key) else {
        return Ok(None);
    };
    let number = port.whole().and_then(|number| i32::try_from(number).ok());
    number
        .map(Some)
        .ok_or_else(|| no(format!("its {key} is {}", port.raw)))
}

fn read_payload(element: &Element<'_>) -> Payload {
    match &element.value {
        Value::Text(text) => Payload::Text(text.clone()),
        _ => Payload::Json(element.raw.to_owned()),
    }
}

fn read_kind(name: Option<String>) -> Result<ServiceKind, NotAnInstance> {
    let Some(name) = name else {
        return Ok(ServiceKind::default());
    };
    let kind = ServiceKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name);
    kind.ok_or_else(|| no(format!("the service type {name} is not known")))
}

fn read_uri(element: &Element<'_>) -> Result<UriSpec, NotAnInstance> {
    let parts = element.field("parts").and_then(Element::list);
    let parts = parts.ok_or_else(|| no("its uriSpec has no parts"))?;
    let part = |part: &Element<'_>| {
        Some(UriPart {
            value: part.field("value")?.text()?.to_owned(),
            is_variable: part
                .field("variable")
                .and_then(Element::bool)
                .unwrap_or(false),
        })
    };
    let parts: Option<Vec<UriPart>> = parts.iter().map(part).collect();
    let parts = parts.ok_or_else(|| no("a part of its uriSpec has no value"))?;
    Ok(UriSpec { parts })
}

fn write_uri(out: &mut String, uri: Option<&UriSpec>) {
    let Some(uri) = uri else {
        return out.push_str("null");
    };
    out.push_str("{\"parts\":[");
    for (index, part) in uri.parts.iter().enumerate() {
        out.push_str(if index == 0 {
            "{\"value\":"
        } else {
            ",{\"value\":"
        });
        quote(out, &part.value);
        out.push_str(if part.is_variable {
            ",\"variable\":true}"
        } else {
            ",\"variable\":false}"
        });
    }
    out.push_str("]}");
}

fn number(out: &mut String, key: &str, number: Option<impl Into<i64>>) {
    // Writing to a text does not fail.
    let _ = match number {
        Some(number) => write!(out, ",\"{key}\":{}", number.into()),
        None => write!(out, ",\"{key}\":null"),
    };
}

fn quote_or_null(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => quote(out, text),
        None => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded of Curator 5.4.
    const FIRST: &str = r#"{"name":"web","id":"first","address":"h1.example","port":80,"sslPort":null,"payload":"payload","registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true},{"value":":","variable":false},{"value":"port","variable":true},{"value":"/x","variable":false}]}}"#;
    const SECOND: &str = r#"{"name":"web","id":"second","address":"h2.example","port":81,"sslPort":null,"payload":null,"registrationTimeUTC":1700000000001,"serviceType":"DYNAMIC","uriSpec":null}"#;

    fn first() -> ServiceInstance {
        ServiceInstance {
            id: "first".into(),
            payload: Some(Payload::Text("payload".into())),
            registered_at_ms: 1_700_000_000_000,
            uri: Some(UriSpec::parse("{scheme}://{address}:{port}/x")),
            ..ServiceInstance::new("web", "h1.example", 80)
        }
    }

    #[test]
    fn an_endpoint_is_what_one_connects_to() {
        let at = |address: &str| ServiceInstance::new("web", address, 80);
        assert_eq!(at("h1").endpoint().as_deref(), Some("h1:80"));
        assert_eq!(at("::1").endpoint().as_deref(), Some("[::1]:80"));
        let (mut portless, mut placeless) = (at("h1"), at("h1"));
        portless.port = None;
        placeless.address = None;
        assert_eq!(portless.endpoint().as_deref(), Some("h1"));
        assert_eq!(placeless.endpoint(), None);
        assert_eq!(first().to_string(), "web h1.example:80 (first)");
        assert_eq!(
            ServiceInstance {
                address: None,
                ..first()
            }
            .to_string(),
            "web nowhere (first)"
        );
    }

    #[test]
    fn the_text_is_curator_s_byte_for_byte() {
        assert_eq!(first().to_json(), FIRST);
        assert_eq!(ServiceInstance::from_json(FIRST.as_bytes()), Ok(first()));
        let second = ServiceInstance::from_json(SECOND.as_bytes()).unwrap();
        assert_eq!((second.payload.as_ref(), second.uri()), (None, None));
        assert_eq!(second.to_json(), SECOND);
    }

    #[test]
    fn whatever_it_holds_comes_back() {
        let mut instance = first();
        instance.payload = Some(Payload::Text("\"\\\0ä😀".into()));
        instance.kind = ServiceKind::Permanent;
        instance.is_enabled = false;
        instance.port = None;
        instance.address = None;
        let text = instance.to_json();
        assert_eq!(ServiceInstance::from_json(text.as_bytes()), Ok(instance));
    }

    #[test]
    fn a_payload_of_a_class_is_json() {
        let mut instance = first();
        let json = r#"{"@class":"com.example.P","weight":3, "a":[1.50]}"#;
        instance.payload = Some(Payload::Json(json.into()));
        let text = instance.to_json();
        assert!(text.contains(&format!(",\"payload\":{json},")));
        assert_eq!(ServiceInstance::from_json(text.as_bytes()), Ok(instance));
    }

    #[test]
    fn what_is_no_instance_is_told() {
        let cases = [
            ("", "byte 0: a value was expected"),
            ("[]", "it has no name"),
            (r#"{"name":"a"}"#, "it has no id"),
            (r#"{"name":"a","id":"b","port":"x"}"#, "its port is \"x\""),
            (
                r#"{"name":"a","id":"b","port":4294967296}"#,
                "its port is 4294967296",
            ),
            (
                r#"{"name":"a","id":"b","serviceType":"ODD"}"#,
                "the service type ODD is not known",
            ),
            (
                r#"{"name":"a","id":"b","uriSpec":{}}"#,
                "its uriSpec has no parts",
            ),
        ];
        for (text, why) in cases {
            let refused = ServiceInstance::from_json(text.as_bytes()).unwrap_err();
            assert_eq!(refused.why, why);
        }
        let bare = ServiceInstance::from_json(br#"{"name":"a","id":"b","odd":1}"#).unwrap();
        assert!(bare.is_enabled && bare.port.is_none());
    }

    #[test]
    fn an_address_is_made_of_its_parts() {
        assert_eq!(first().uri().as_deref(), Some("http://h1.example:80/x"));
        let mut tls = first();
        tls.ssl_port = Some(443);
        tls.uri = Some(UriSpec::parse(
            "{scheme}://{address}:{ssl-port}/{[}{service-type}{]}{odd}",
        ));
        let wanted = "https://h1.example:443/{dynamic}";
        assert_eq!(tls.uri().as_deref(), Some(wanted));
        tls.uri = Some(UriSpec::parse("{id}/{open"));
        assert_eq!(tls.uri().as_deref(), Some("first/{open"));
    }
}
