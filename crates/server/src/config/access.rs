//! Second stage, authentication: which schemes exist, who is super user, who must authenticate.

use std::collections::BTreeSet;

use super::{
    classes::AUTH_PROVIDERS,
    error::{Refusal, SettingsError},
    reader::Reader,
    settings::{AccessSettings, AuthScheme, DigestAlgorithm, Secret},
};

const SCHEMES_KEY: &str = "enforce.auth.schemes";

pub(super) fn access(reader: &mut Reader<'_>) -> Result<AccessSettings, SettingsError> {
    let schemes = schemes(reader)?;
    let super_users = reader
        .entries("superUser")
        .chain(reader.entries("superUser.*"));
    Ok(AccessSettings {
        skip_acl: reader.yes_no("skipACL"),
        digest_algorithm: digest_algorithm(reader)?,
        super_digest: super_digest(reader),
        enforce_auth_schemes: enforced_schemes(reader, &schemes)?,
        x509_super_user: reader.text("X509AuthenticationProvider.superUser"),
        sasl_super_users: super_users.map(|entry| entry.value.clone()).collect(),
        any_sasl_user: reader.text("letAnySaslUserDoX"),
        ensemble_names: reader
            .text("ensembleAuthName")
            .map(|text| list(&text))
            .unwrap_or_default(),
        schemes,
    })
}

/// Schemes that exist: `ip` always, `digest` unless switched off, others by their Java class.
fn schemes(reader: &mut Reader<'_>) -> Result<BTreeSet<AuthScheme>, SettingsError> {
    let mut schemes = BTreeSet::from([AuthScheme::Ip]);
    let providers: Vec<_> = reader
        .entries("authProvider")
        .chain(reader.entries("authProvider.*"))
        .collect();
    for entry in providers {
        let known = AUTH_PROVIDERS
            .iter()
            .find(|(class, _)| *class == entry.value);
        let Some(&(_, scheme)) = known else {
            let classes = AUTH_PROVIDERS.map(|(class, _)| class).join(", ");
            return Err(entry.refuse(Refusal::UnknownAuthProvider(classes)));
        };
        if matches!(scheme, AuthScheme::Sasl | AuthScheme::X509) {
            let name = scheme.name();
            let text =
                format!("nobody can authenticate by '{name}' in this version; ACLs may name it");
            reader.warn(entry, &text);
        }
        schemes.insert(scheme);
    }
    match reader.flag("DigestAuthenticationProvider.enabled") {
        true => schemes.insert(AuthScheme::Digest),
        false => schemes.remove(&AuthScheme::Digest),
    };
    Ok(schemes)
}

fn digest_algorithm(reader: &Reader<'_>) -> Result<DigestAlgorithm, SettingsError> {
    let Some(entry) = reader.entry("DigestAuthenticationProvider.digestAlg") else {
        return Ok(DigestAlgorithm::Sha1);
    };
    // Java's security providers know SHA1 as SHA-1 and SHA too, and compare names without regard to case.
    let wanted = match entry.value.to_ascii_uppercase().as_str() {
        "SHA" | "SHA-1" => DigestAlgorithm::Sha1.name().to_owned(),
        name => name.to_owned(),
    };
    let known = DigestAlgorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.name() == wanted);
    known.ok_or_else(|| entry.refuse(Refusal::UnknownDigestAlgorithm))
}

fn super_digest(reader: &mut Reader<'_>) -> Option<Secret> {
    let entry = reader.entry("DigestAuthenticationProvider.superDigest")?;
    if !entry.value.contains(':') {
        reader.warn(
            entry,
            "has no ':' and matches nobody; the form is super:BASE64",
        );
    }
    Some(Secret::new(entry.value.clone()))
}

/// Schemes of which every session needs one. A demand that cannot be met is refused: every client would be
/// turned away, or worse, an operator would believe in a lock that is not there.
fn enforced_schemes(
    reader: &mut Reader<'_>,
    available: &BTreeSet<AuthScheme>,
) -> Result<Vec<AuthScheme>, SettingsError> {
    let enabled = reader.flag("enforce.auth.enabled");
    let named = reader
        .entry(SCHEMES_KEY)
        .map(|entry| (entry, list(&entry.value)));
    let named = named.filter(|(_, names)| !names.is_empty());
    match (enabled, named) {
        (false, None) => Ok(Vec::new()),
        (false, Some((entry, _))) => {
            reader.warn(
                entry,
                "has no effect while enforce.auth.enabled is not true",
            );
            Ok(Vec::new())
        }
        (true, None) => Err(SettingsError::about(SCHEMES_KEY, Refusal::NoEnforcedScheme)),
        (true, Some((entry, names))) => names
            .into_iter()
            .map(|name| {
                enforceable(&name, available)
                    .ok_or_else(|| entry.refuse(Refusal::EnforcedScheme(name)))
            })
            .collect(),
    }
}

fn enforceable(name: &str, available: &BTreeSet<AuthScheme>) -> Option<AuthScheme> {
    let possible = [AuthScheme::Digest, AuthScheme::Ip];
    possible
        .into_iter()
        .find(|scheme| scheme.name().eq_ignore_ascii_case(name))
        .filter(|scheme| available.contains(scheme))
}

/// Items of a list parted by commas, blanks around them dropped.
fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}
