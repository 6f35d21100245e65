//! Which znodes belong to a cache: those between two depths below its root.

use std::sync::Arc;

/// A root, and the depths that are kept. The root itself has depth 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) root: Arc<str>,
    first: usize,
    last: usize,
}

impl Scope {
    pub(super) fn new(root: &str, first: usize, last: usize) -> Self {
        Self {
            root: root.into(),
            first,
            last,
        }
    }

    /// Only the root.
    pub(super) const fn is_single(&self) -> bool {
        self.last == 0
    }

    /// The znode is kept.
    pub(super) fn holds(&self, path: &str) -> bool {
        self.depth(path)
            .is_some_and(|depth| (self.first..=self.last).contains(&depth))
    }

    /// Children of the znode are kept.
    pub(super) fn lists(&self, path: &str) -> bool {
        self.depth(path).is_some_and(|depth| depth < self.last)
    }

    fn depth(&self, path: &str) -> Option<usize> {
        if *path == *self.root {
            return Some(0);
        }
        let base = if &*self.root == "/" { "" } else { &*self.root };
        let below = path.strip_prefix(base)?;
        below.starts_with('/').then(|| below.matches('/').count())
    }
}

/// The path of a child.
pub(super) fn child(parent: &str, name: &str) -> Arc<str> {
    match parent {
        "/" => format!("/{name}").into(),
        _ => format!("{parent}/{name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_holds_what_is_between_its_depths() {
        let children = Scope::new("/a", 1, 1);
        let held = ["/a", "/a/b", "/a/b/c", "/ab", "/b"].map(|path| children.holds(path));
        assert_eq!(held, [false, true, false, false, false]);
        assert!(children.lists("/a") && !children.lists("/a/b"));
        let all = Scope::new("/", 0, 2);
        let held = ["/", "/a", "/a/b", "/a/b/c"].map(|path| all.holds(path));
        assert_eq!(held, [true, true, true, false]);
        assert!(all.lists("/a") && !all.lists("/a/b"));
        assert!(Scope::new("/a", 0, 0).is_single());
    }

    #[test]
    fn a_child_of_the_root_has_one_slash() {
        assert_eq!(&*child("/", "a"), "/a");
        assert_eq!(&*child("/a", "b"), "/a/b");
    }
}
