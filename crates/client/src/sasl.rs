//! The seam for SASL: who knows a mechanism plugs it in here; none is built in.

use std::fmt;
use std::sync::Arc;

/// One exchange, on one connection.
pub trait Mechanism: Send {
    /// The next token for the server. `challenge` is what the server said last, `None` at the beginning. `Ok(None)`: nothing more to
    /// say, the exchange has succeeded. An error ends the session with [`crate::Error::AuthFailed`].
    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Option<Vec<u8>>, String>;
}

/// Makes a mechanism for each new connection.
#[derive(Clone)]
pub struct Mechanisms(Arc<dyn Fn() -> Box<dyn Mechanism> + Send + Sync>);

impl Mechanisms {
    /// `make` is called once for every connection.
    pub fn new(make: impl Fn() -> Box<dyn Mechanism> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn begin(&self) -> Box<dyn Mechanism> {
        (self.0)()
    }
}

impl fmt::Debug for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mechanisms")
    }
}
