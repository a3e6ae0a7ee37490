//! The `lifecycle` block of everything that is supervised.

use std::time::Duration;

use super::super::fields::Fields;
use super::super::{EntryId, Value};

/// How a service is started, stopped and restarted.
///
/// ```
/// use std::time::Duration;
/// use wippy::registry::Lifecycle;
///
/// let lifecycle = Lifecycle::default();
/// assert!(!lifecycle.auto_start);
/// assert_eq!(lifecycle.stop_timeout, Duration::from_secs(10));
/// assert_eq!(lifecycle.restart.max_attempts, 0, "no bound");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lifecycle {
    /// Whether it starts with the runtime.
    pub auto_start: bool,
    /// What a failing start means.
    pub startup: Startup,
    /// The services that must run first: `requires`, then `depends_on`, each once.
    pub requires: Vec<EntryId>,
    /// How long a start may take; 10 s by default.
    pub start_timeout: Duration,
    /// How long a stop may take; 10 s by default.
    pub stop_timeout: Duration,
    /// How long a service must have run for its attempts to count from one again; 5 s by default.
    pub stable_threshold: Duration,
    /// When and how often it is started again.
    pub restart: RestartPolicy,
    /// The identity of everything the service starts.
    pub security: Option<ServiceSecurity>,
}

/// What a failing start means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Startup {
    /// The runtime does not start.
    #[default]
    Required,
    /// The service is tried again; the runtime starts.
    Optional,
}

/// Which ends of a service are followed by another start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restart {
    /// Every one.
    Permanent,
    /// Only a failure: a trap, an error, an exit code other than 0, an exceeded limit, a start that fails. A service that did
    /// its work or that somebody ended is left alone.
    #[default]
    Transient,
    /// None.
    Temporary,
}

/// When and how often a service is started again.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartPolicy {
    /// Which ends are followed by another start; `transient` by default.
    pub policy: Restart,
    /// The wait before the first attempt; 1 s by default.
    pub initial_delay: Duration,
    /// The longest wait; 90 s by default.
    pub max_delay: Duration,
    /// How much longer each wait is than the one before; 2 by default.
    pub backoff_factor: f64,
    /// Which part of the wait is random; 0.1 by default.
    pub jitter: f64,
    /// How many starts there are in a row, the first one included, without one that was stable; 0 means no bound.
    pub max_attempts: u32,
    /// How many restarts there may be within `window`: at one more the runtime stops. 0 means no bound, which is the default.
    pub max_restarts: u32,
    /// The time in which restarts are counted; 1 min by default. Without `max_restarts` it means nothing.
    pub window: Duration,
}

/// The identity of what a service starts: who acts, and by which policies. Both have to be there for policies to be asked. On a
/// host it is that of the processes which bring none with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSecurity {
    /// The actor's ID.
    pub actor_id: Option<String>,
    /// What is known of the actor, by key.
    pub actor_meta: serde_json::Map<String, Value>,
    /// Groups of policies, by the name that policies write or, with the namespace of those before it, `namespace:name`.
    pub groups: Vec<String>,
    /// Policies by their ID.
    pub policies: Vec<EntryId>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            auto_start: false,
            startup: Startup::Required,
            requires: Vec::new(),
            start_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(10),
            stable_threshold: Duration::from_secs(5),
            restart: RestartPolicy::default(),
            security: None,
        }
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            policy: Restart::Transient,
            initial_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(90),
            backoff_factor: 2.0,
            jitter: 0.1,
            max_attempts: 0,
            max_restarts: 0,
            window: Duration::from_secs(60),
        }
    }
}

impl Lifecycle {
    /// Reads the field `lifecycle`.
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        f.nested("lifecycle", Self::decode_fields)
    }

    fn decode_fields(f: &mut Fields<'_, '_>) -> Self {
        let default = Self::default();
        let auto_start = f.flag("auto_start");
        // Any other text behaves as `required`, as in Wippy.
        let startup = match f.text("startup").as_deref() {
            Some("optional") => Startup::Optional,
            _ => Startup::Required,
        };
        let mut requires = f.ids("requires");
        requires.extend(f.ids("depends_on"));
        let mut seen = std::collections::HashSet::new();
        requires.retain(|id| seen.insert(id.clone()));
        Self {
            auto_start,
            startup,
            requires,
            start_timeout: duration_or(f, "start_timeout", default.start_timeout),
            stop_timeout: duration_or(f, "stop_timeout", default.stop_timeout),
            stable_threshold: duration_or(f, "stable_threshold", default.stable_threshold),
            restart: f.nested("restart", RestartPolicy::decode_fields),
            security: f.optional("security", ServiceSecurity::decode_fields),
        }
    }
}

impl RestartPolicy {
    fn decode_fields(f: &mut Fields<'_, '_>) -> Self {
        const POLICIES: [(&str, Restart); 3] =
            [("permanent", Restart::Permanent), ("transient", Restart::Transient), ("temporary", Restart::Temporary)];
        let default = Self::default();
        let policy = f.word("policy", &POLICIES, "unknown restart policy").unwrap_or_default();
        let max_attempts = number(f, "max_attempts", "lifecycle.restart.max_attempts cannot be negative");
        let max_restarts = number(f, "max_restarts", "lifecycle.restart.max_restarts cannot be negative");
        let window = f.duration("window").filter(|window| !window.is_zero());
        if let (Some(_), None | Some(0)) = (window, max_restarts) {
            let problem = f.warning_at("no-effect", &["window"], "`window` has no effect without `max_restarts`");
            f.error(problem.help("say how many restarts there may be in it: `max_restarts: …`"));
        }
        Self {
            policy,
            initial_delay: duration_or(f, "initial_delay", default.initial_delay),
            max_delay: duration_or(f, "max_delay", default.max_delay),
            backoff_factor: f.factor("backoff_factor").filter(|value| *value != 0.0).unwrap_or(default.backoff_factor),
            jitter: f.factor("jitter").filter(|value| *value != 0.0).unwrap_or(default.jitter),
            max_attempts: max_attempts.unwrap_or(default.max_attempts),
            max_restarts: max_restarts.unwrap_or(default.max_restarts),
            window: window.unwrap_or(default.window),
        }
    }
}

impl ServiceSecurity {
    fn decode_fields(f: &mut Fields<'_, '_>) -> Self {
        let (actor_id, actor_meta) = f.nested("actor", |f| {
            let id = f.text("id").filter(|id| !id.is_empty());
            (id, f.map("meta").cloned().unwrap_or_default())
        });
        let (groups, policies) = (f.text_or_list("groups").unwrap_or_default(), f.ids("policies"));
        if actor_id.is_none() && !(actor_meta.is_empty() && groups.is_empty() && policies.is_empty()) {
            let problem =
                f.warning_at("no-effect", &[], "`security` without `actor.id` has nobody to ask policies about");
            f.error(problem.help("add `actor: { id: … }`"));
        }
        Self { actor_id, actor_meta, groups, policies }
    }
}

fn number(f: &mut Fields<'_, '_>, name: &'static str, message: &str) -> Option<u32> {
    f.count(name, u32::MAX.into(), message).and_then(|count| u32::try_from(count).ok())
}

/// Zero means default, as everywhere in this block.
fn duration_or(f: &mut Fields<'_, '_>, name: &'static str, default: Duration) -> Duration {
    f.duration(name).filter(|value| !value.is_zero()).unwrap_or(default)
}
