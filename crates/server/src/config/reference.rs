//! The operator's reference of settings, rendered from the table of keys: `docs/config.md`.

use super::keys::{Key, Place, SECTIONS, Standing};

const PREFACE: &str = "\
# Settings

This file is generated from the table of keys in `crates/server/src/config/keys`; a test compares the two.
`UPDATE_DOCS=1 cargo test -p rookeeper-server` writes it anew.

A server is started in one of three forms:

- `rookeeper server CONFIGFILE` reads a file such as [`conf/zoo_sample.cfg`](../conf/zoo_sample.cfg).
- `rookeeper server PORT DATADIR [TICKTIME] [MAXCNXNS]` needs no file. Connections are not limited unless the
  fourth argument says so.
- `rookeeper server` alone uses `./rookeeper-data`, port 2181 and ticks of 2000 ms. (ZooKeeper ends with an error
  instead.)

Settings come from the file and from words of the form `-Dname=value`, which may stand in the call, in `JVMFLAGS`
or in `SERVER_JVMFLAGS` (the first of these wins). The file wins over such words, arguments win over both. Words
meant for a Java machine (`-Xmx1g`) have no effect and are named in one warning.

The file has the syntax of Java properties, in ISO-8859-1: `key=value`, comments on a line of their own. There
are no comments behind a value. Names are case-sensitive, of a repeated key the last one counts.

**Written** tells where a key is understood:

- *file*: in the file; without a file also as `-Dzookeeper.KEY=...`. A value that cannot be read ends the start.
- *both*: in the file, or as `-Dzookeeper.KEY=...`. A value that cannot be read means the default and a warning.
- *any*: like *both*, the prefix `zookeeper.` may be missing.
- *bare*: as `-DKEY=...`. Rookeeper takes it in the file too and warns, because ZooKeeper's own servers ignore
  it there; for these the property wins over the file.
- *bare only*: as `-DKEY=...` only.

**State** tells what this version does with it:

- *works*.
- *not built*: accepted, with a warning when the value is not the default.
- *refused*: it protects something and is not built, so the server does not start when it is switched on.
- *in an ensemble*: works in an ensemble; a server on its own accepts it, with a warning when the value is not the
  default.
- *refused in an ensemble*: not built; a member of an ensemble does not start with another value than the default, a
  server on its own accepts it with a warning.
- *no effect*: it tunes Java code that is not here; accepted with a warning.
- *obsolete*: only the default is accepted.

Every `ssl.X` exists as `ssl.quorum.X` too, for the ports between servers. A name ending in `.*` stands for all
names with that beginning. Keys that are not listed are ignored with a warning.

Deviations from ZooKeeper 3.9: old snapshots and logs are purged every hour unless `autopurge.purgeInterval=0`;
the four-letter words that only read cheaply are allowed unless `4lw.commands.whitelist` says otherwise; unknown
authentication providers are refused; session timeouts below -1, negative ticks and client ports out of range are
refused; in `myid` blanks around the number are dropped.
";

/// The whole text of `docs/config.md`.
pub fn render() -> String {
    let mut text = PREFACE.to_owned();
    for section in SECTIONS {
        text.push_str(&format!("\n## {}\n\n", section.title));
        text.push_str("| key | default | written | state | meaning |\n|---|---|---|---|---|\n");
        section.keys.iter().for_each(|key| text.push_str(&row(key)));
    }
    text
}

fn row(key: &Key) -> String {
    let default = match key.kind.default_text() {
        text if text.is_empty() => String::new(),
        text => format!("`{text}`"),
    };
    let (place, state) = (place(key.place), state(key.standing));
    format!(
        "| `{}` | {default} | {place} | {state} | {} |\n",
        key.name, key.doc
    )
}

fn place(place: Place) -> &'static str {
    match place {
        Place::File => "file",
        Place::FileAndProperty => "both",
        Place::AnyForm => "any",
        Place::Bare => "bare",
        Place::BareOnly => "bare only",
    }
}

fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::Honoured => "works",
        Standing::NotBuilt { protects: false } => "not built",
        Standing::NotBuilt { protects: true } => "refused",
        Standing::InEnsemble => "in an ensemble",
        Standing::NotBuiltInEnsemble => "refused in an ensemble",
        Standing::NoEffect => "no effect",
        Standing::Obsolete => "obsolete",
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::render;

    #[test]
    fn the_reference_in_docs_is_this_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, render()).expect("docs/config.md can be written");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == render(),
            "docs/config.md is old: run again with UPDATE_DOCS=1"
        );
    }
}
