//! A view of the tree from a znode below the root (client protocol 5.7). The server never knows of it.

use std::sync::Arc;

use rookeeper_proto::path::{self, ROOT};

use crate::error::Error;

/// Where a client's `/` is. Empty, or a valid path without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root(Arc<str>);

impl Root {
    /// The server's root.
    pub(crate) fn top() -> Self {
        Self(Arc::from(""))
    }

    /// The view from `path` within this view.
    pub(crate) fn below(&self, path: &str) -> Result<Self, Error> {
        let full = self.full(path)?;
        Ok(if full == ROOT {
            Self::top()
        } else {
            Self(full.into())
        })
    }

    /// As the caller of the client names it.
    pub(crate) fn name(&self) -> &str {
        if self.0.is_empty() { ROOT } else { &self.0 }
    }

    /// The server's path of a znode.
    pub(crate) fn full(&self, path: &str) -> Result<String, Error> {
        self.check(path, path)?;
        Ok(self.prefix(path))
    }

    /// The same for a create, where a name that ends with a slash is fine if a number follows.
    pub(crate) fn full_new(&self, path: &str, sequential: bool) -> Result<String, Error> {
        if sequential {
            self.check(path, &format!("{path}0"))?;
            return Ok(format!("{}{path}", self.0));
        }
        self.full(path)
    }

    fn check(&self, path: &str, shape: &str) -> Result<(), Error> {
        path::validate(shape).map_err(|source| Error::BadPath {
            path: path.to_owned(),
            source,
        })
    }

    fn prefix(&self, path: &str) -> String {
        match (self.0.is_empty(), path) {
            (true, _) => path.to_owned(),
            (false, ROOT) => self.0.to_string(),
            (false, _) => format!("{}{path}", self.0),
        }
    }

    /// The path in this view of a server's path.
    pub(crate) fn strip(&self, full: String) -> String {
        if self.0.is_empty() {
            return full;
        }
        match full.strip_prefix(&*self.0) {
            Some("") => ROOT.to_owned(),
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            // Above the view, such as events of a recursive watch never are: the server's name is the only one.
            _ => full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_down_and_come_back() {
        let app = Root::top().below("/app").unwrap();
        let inner = app.below("/x/y").unwrap();
        assert_eq!(inner.name(), "/app/x/y");
        for (root, path, full) in [
            (&Root::top(), "/a", "/a"),
            (&app, "/", "/app"),
            (&app, "/a", "/app/a"),
            (&inner, "/b", "/app/x/y/b"),
        ] {
            assert_eq!(root.full(path).as_deref(), Ok(full));
            assert_eq!(root.strip(full.into()), path);
        }
        assert_eq!(app.strip("/apple".into()), "/apple");
        assert_eq!(app.below("/").unwrap(), app);
    }

    #[test]
    fn a_number_may_follow_a_slash() {
        let app = Root::top().below("/app").unwrap();
        assert_eq!(app.full_new("/q/", true).as_deref(), Ok("/app/q/"));
        assert_eq!(app.full_new("/", true).as_deref(), Ok("/app/"));
        assert!(app.full_new("/q/", false).is_err());
        assert!(app.full("q").is_err() && app.full("/a//b").is_err());
    }
}
