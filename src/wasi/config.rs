//! What one process may see, as plain values: the room above reads entries, this one never does.

use std::sync::Arc;

use super::network::NetworkPolicy;
use super::profile::ProfileSet;
use super::resolver::{NoResolver, Resolver};
use super::stdio::{Discard, EmptyInput, Input, Output};
use crate::limits::Usage;
use crate::security::SecurityContext;
use crate::volume::Volume;

/// What one process gets from the host. The default gives it nothing: no arguments, no environment, an empty input,
/// discarded output, no mounts, no profiles, no names; no network either, since no profile brings it.
///
/// Cloning is cheap; what processes of one entry have in common is shared.
///
/// ```
/// use wippy::wasi::WasiConfig;
///
/// let config = WasiConfig { entry: "app:greet".into(), args: ["greet".to_owned()].into(), ..WasiConfig::default() };
/// assert_eq!(config.args.len(), 1);
/// ```
#[derive(Clone)]
pub struct WasiConfig {
    /// The entry's ID, for messages.
    pub entry: Arc<str>,
    /// The guest's arguments, the program's name first.
    pub args: Arc<[String]>,
    /// The guest's environment, in the order in which it sees it.
    pub env: Arc<[(String, String)]>,
    /// Where the guest resolves relative paths; an absolute guest path that need not lie in a mount.
    pub cwd: Option<Arc<str>>,
    /// What the guest reads.
    pub stdin: Arc<dyn Input>,
    /// Where the guest writes.
    pub stdout: Arc<dyn Output>,
    /// Where the guest writes its errors.
    pub stderr: Arc<dyn Output>,
    /// The directories the guest sees, in the order of their guest paths.
    pub mounts: Arc<[Mount]>,
    /// Who the guest may talk to, where it may talk at all.
    pub network: Arc<NetworkPolicy>,
    /// Who the guest acts as, and by which policies: asked beside the rules of `network`.
    pub security: SecurityContext,
    /// Who finds the addresses of names for it.
    pub resolver: Arc<dyn Resolver>,
    /// What the entry lists under `imports`.
    pub profiles: ProfileSet,
    /// What the guest may use, and the counters of what it uses. Each process has its own: a clone of this configuration is
    /// for the same process.
    pub usage: Arc<Usage>,
    /// Who sends the guest's HTTP requests; without it each of them fails with `configuration-error`.
    #[cfg(feature = "http")]
    pub http: Option<super::HttpClient>,
}

impl Default for WasiConfig {
    fn default() -> WasiConfig {
        WasiConfig {
            entry: Arc::from(""),
            args: Arc::from([]),
            env: Arc::from([]),
            cwd: None,
            stdin: Arc::new(EmptyInput),
            stdout: Arc::new(Discard),
            stderr: Arc::new(Discard),
            mounts: Arc::from([]),
            network: Arc::default(),
            security: SecurityContext::default(),
            resolver: Arc::new(NoResolver),
            profiles: ProfileSet::EMPTY,
            usage: Arc::default(),
            #[cfg(feature = "http")]
            http: None,
        }
    }
}

impl std::fmt::Debug for WasiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of the environment may be secrets: only their names are shown.
        f.debug_struct("WasiConfig")
            .field("entry", &self.entry)
            .field("args", &self.args)
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .field("mounts", &self.mounts)
            .field("network", &self.network)
            .field("profiles", &self.profiles)
            .finish_non_exhaustive()
    }
}

/// A directory that a guest sees under a path of its own.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The directory; its `mode` gates what the guest may do.
    pub volume: Volume,
    /// The absolute path by which the guest sees it.
    pub guest: Arc<str>,
    /// True when the guest may not change anything below it.
    pub read_only: bool,
}
