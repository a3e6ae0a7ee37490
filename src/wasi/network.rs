//! Who a guest may talk to: the rules of an entry, read once, and what they say about a name or an address.
//!
//! Grammar of a rule, with an optional `:port` after each form:
//!
//! | Form | Speaks of |
//! |---|---|
//! | `example.com` | this name; addresses only as far as the guest got them by this name |
//! | `*.example.com` | every name below it, not itself |
//! | `10.1.2.3`, `10.0.0.0/8` | this IPv4 address, these IPv4 addresses |
//! | `::1`, `[::1]:443`, `2001:db8::/32`, `[2001:db8::/32]:443` | the same for IPv6; brackets where a port follows |
//! | `loopback` | `127.0.0.0/8`, `::1`, and the unspecified addresses, which lead to the same machine |
//! | `private` | `10/8`, `172.16/12`, `192.168/16`, `100.64/10`, `169.254/16`, `fc00::/7`, `fe80::/10` |
//! | `:53` | this port of everybody |
//!
//! A name of one label that looks like a slip of `loopback` or `private` is refused; with a dot at its end it is a name.
//! IPv4 addresses inside IPv6 ones (`::ffff:10.0.0.1`) count as what they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::suggest::near_miss;

/// One rule of `wasi.network`.
///
/// ```
/// use wippy::wasi::Rule;
///
/// assert!(Rule::parse("*.example.com:443").is_ok());
/// assert!(Rule::parse("10.0.0.0/8").is_ok());
/// let error = Rule::parse("https://example.com/path").unwrap_err();
/// assert_eq!(error.suggestion.as_deref(), Some("example.com:443"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    peer: Peer,
    /// `None`: every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Peer {
    Any,
    Loopback,
    Private,
    /// Addresses whose first `prefix` bits are those of `network`.
    Range {
        network: IpAddr,
        prefix: u8,
    },
    /// Lower case ASCII without a dot at the end.
    Name(Box<str>),
    /// Names that end in a dot and this one.
    Below(Box<str>),
}

/// A rule that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: `{text}`")]
pub struct RuleError {
    /// The rule as written.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// What a rule may be, for messages.
pub(crate) const RULE_FORMS: &str = "a host name, `*.` and a name, an address or range such as `10.0.0.0/8`, `loopback`, `private`, each \
     with an optional `:port`, or `:port` alone";

const KEYWORDS: [(&str, Peer); 2] = [("loopback", Peer::Loopback), ("private", Peer::Private)];

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// [`RuleError`] with what was probably meant.
    pub fn parse(text: &str) -> Result<Rule, RuleError> {
        let wrong = |problem: &'static str, suggestion: Option<String>| RuleError {
            text: text.to_owned(),
            problem,
            suggestion,
        };
        let written = text.trim();
        if written.is_empty() {
            return Err(wrong("a rule can't be empty", None));
        }
        if written == "*" {
            return Err(wrong(
                "`*` is no rule: without `allow` everything is allowed, without `deny` nothing refused",
                None,
            ));
        }
        if let Some((scheme, rest)) = written.split_once("://") {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let port = match scheme.to_ascii_lowercase().as_str() {
                "http" | "ws" => ":80",
                "https" | "wss" => ":443",
                _ => "",
            };
            let meant = if host.contains(':') { host.to_owned() } else { format!("{host}{port}") };
            let meant = (Rule::parse(&meant).is_ok()).then_some(meant);
            return Err(wrong("a rule names a host, not a URL", meant));
        }
        let port_of = |port: &str| {
            let number = port.parse::<u16>().ok().filter(|port| *port != 0);
            number.ok_or_else(|| wrong("a port must be a number from 1 to 65535", None))
        };
        let (peer, port) = if let Some(rest) = written.strip_prefix('[') {
            let Some((inside, after)) = rest.split_once(']') else {
                return Err(wrong("a bracket is not closed", Some(format!("{written}]"))));
            };
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port_of(port)?),
                None if after.is_empty() => None,
                None => return Err(wrong("after the bracket only a port may follow", None)),
            };
            match inside.split('/').next().unwrap_or_default().parse() {
                Ok(IpAddr::V6(_)) => (range(inside, &wrong)?, port),
                _ => return Err(wrong("brackets are for IPv6 addresses only", Some(format!("{inside}{after}")))),
            }
        } else if written.split('/').next().unwrap_or_default().parse::<Ipv6Addr>().is_ok() {
            if let Some((network, port)) = written.split_once('/').and_then(|_| written.rsplit_once(':'))
                && network.contains('/')
            {
                return Err(wrong("an IPv6 range with a port needs brackets", Some(format!("[{network}]:{port}"))));
            }
            (range(written, &wrong)?, None)
        } else if let Some(port) = written.strip_prefix(':') {
            (Peer::Any, Some(port_of(port)?))
        } else {
            let (host, port) = match written.split_once(':') {
                Some((host, port)) => (host, Some(port_of(port)?)),
                None => (written, None),
            };
            (peer(host, &wrong)?, port)
        };
        Ok(Rule { peer, port })
    }

    fn speaks_of_names(&self) -> bool {
        matches!(self.peer, Peer::Name(_) | Peer::Below(_))
    }

    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }

    fn matches_name(&self, name: &str) -> bool {
        match &self.peer {
            Peer::Name(own) => **own == *name,
            Peer::Below(own) => name.strip_suffix(&**own).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            _ => false,
        }
    }

    fn matches_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match &self.peer {
            Peer::Any => true,
            Peer::Loopback => address.is_loopback() || address.is_unspecified(),
            Peer::Private => is_private(address),
            Peer::Range { network, prefix } => in_range(address, *network, *prefix),
            Peer::Name(_) | Peer::Below(_) => false,
        }
    }
}

/// A host without its port: a keyword, an IPv4 address or range, a name.
fn peer(host: &str, wrong: &dyn Fn(&'static str, Option<String>) -> RuleError) -> Result<Peer, RuleError> {
    let lower = host.to_lowercase();
    if let Some((_, peer)) = KEYWORDS.into_iter().find(|(word, _)| *word == lower) {
        return Ok(peer);
    }
    if host.contains('/') || host.parse::<Ipv4Addr>().is_ok() {
        return range(host, wrong);
    }
    let (below, name) = match lower.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, lower.as_str()),
    };
    if name.contains('*') {
        return Err(wrong("a `*` can only stand for the beginning of a name, as in `*.example.com`", None));
    }
    if !below
        && !name.contains('.')
        && let Some(word) = near_miss(name, KEYWORDS.into_iter().map(|(word, _)| word))
    {
        return Err(wrong(
            "this looks like a slip; a host of this name is written with a dot at its end",
            Some(word.to_owned()),
        ));
    }
    let name = host_name(name).ok_or_else(|| wrong("this is no host name", None))?;
    Ok(if below { Peer::Below(name) } else { Peer::Name(name) })
}

/// A name in the form in which names are compared: ASCII, lower case, no dot at the end. `None` when it is an address or no
/// name at all.
pub(super) fn host_name(name: &str) -> Option<Box<str>> {
    match url::Host::parse(name) {
        Ok(url::Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            let labels_are_full = !name.is_empty() && name.split('.').all(|label| (1..=63).contains(&label.len()));
            (labels_are_full && name.len() <= 253).then(|| name.into())
        }
        _ => None,
    }
}

fn range(text: &str, wrong: &dyn Fn(&'static str, Option<String>) -> RuleError) -> Result<Peer, RuleError> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(wrong("before the `/` must be an address", None));
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(prefix) => match prefix.parse::<u8>() {
            Ok(prefix) if prefix <= bits => prefix,
            _ if bits == 32 => return Err(wrong("after the `/` must be a number from 0 to 32", None)),
            _ => return Err(wrong("after the `/` must be a number from 0 to 128", None)),
        },
    };
    let network = masked(address, prefix);
    if network != address {
        let meant = format!("{network}/{prefix}");
        return Err(wrong("the address has bits outside of its range", Some(meant)));
    }
    match address {
        // What addresses are compared as.
        IpAddr::V6(v6) if prefix >= 96 && v6.to_ipv4_mapped().is_some() => {
            Ok(Peer::Range { network: network.to_canonical(), prefix: prefix - 96 })
        }
        _ => Ok(Peer::Range { network, prefix }),
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

fn in_range(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    address.is_ipv4() == network.is_ipv4() && masked(address, prefix) == network
}

/// Whether an address leads to this machine or into a network that is not everybody's: what `loopback` and `private` mean.
#[cfg(feature = "http")]
pub(super) fn leads_inside(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified() || is_private(address)
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_private() || v4.is_link_local() || in_range(address, Ipv4Addr::new(100, 64, 0, 0).into(), 10)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// What a [`NetworkPolicy`] says about a name before anybody looks it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameCheck {
    /// A rule refuses it, or none could allow it: it must not be looked up.
    Refused,
    /// It may be looked up, and [`NetworkPolicy::allows`] with it decides about each address.
    Permitted,
}

/// The rules of one entry. `deny` wins; without `allow` everything else is allowed, with it only what it names.
///
/// Every rule speaks of the other side: whom the guest connects or sends to, and who connects or sends to it.
///
/// ```
/// use wippy::wasi::{NameCheck, NetworkPolicy, Rule};
///
/// let rules = |texts: &[&str]| texts.iter().map(|text| Rule::parse(text)).collect::<Result<Vec<_>, _>>();
/// let policy = NetworkPolicy::new(Some(rules(&["api.example.com:443", "loopback"])?), rules(&[":22"])?);
/// let address = "203.0.113.9:443".parse()?;
/// assert!(!policy.allows(address, ["other.example.com"]));
/// assert!(policy.allows(address, ["api.example.com"]));
/// assert!(policy.allows("127.0.0.1:80".parse()?, []));
/// assert!(!policy.allows("127.0.0.1:22".parse()?, []));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkPolicy {
    allow: Option<Vec<Rule>>,
    deny: Vec<Rule>,
}

impl NetworkPolicy {
    /// A policy of these rules. [`NetworkPolicy::default`] has none and allows everything.
    #[must_use]
    pub fn new(allow: Option<Vec<Rule>>, deny: Vec<Rule>) -> NetworkPolicy {
        NetworkPolicy { allow, deny }
    }

    /// True when there is nothing to check.
    #[must_use]
    pub fn allows_everything(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }

    /// Whether a name may be looked up, for this port or (`None`) for any. A name that no rule allows is permitted when rules
    /// allow addresses: which ones it has is known afterwards.
    #[must_use]
    pub fn check_name(&self, name: &str, port: Option<u16>) -> NameCheck {
        let name = comparable(name);
        // Without a port, a rule about one port refuses nothing yet.
        let denied = |rule: &Rule| {
            rule.matches_name(&name) && (rule.port.is_none() || port.is_some_and(|port| rule.has_port(port)))
        };
        let allowed = |rule: &Rule| {
            (rule.matches_name(&name) || !rule.speaks_of_names()) && port.is_none_or(|port| rule.has_port(port))
        };
        let refused =
            self.deny.iter().any(denied) || self.allow.as_ref().is_some_and(|allow| !allow.iter().any(allowed));
        if refused { NameCheck::Refused } else { NameCheck::Permitted }
    }

    /// Whether the guest may talk to this address, which it has by these names (none: it was given as such).
    #[must_use]
    pub fn allows<'a>(&self, address: SocketAddr, names: impl IntoIterator<Item = &'a str>) -> bool {
        if self.allows_everything() {
            return true;
        }
        let names: Vec<String> = names.into_iter().map(comparable).collect();
        let matches = |rule: &Rule| {
            rule.has_port(address.port())
                && (rule.matches_address(address.ip()) || names.iter().any(|name| rule.matches_name(name)))
        };
        !self.deny.iter().any(matches) && self.allow.as_ref().is_none_or(|allow| allow.iter().any(matches))
    }

    /// Whether the guest may talk to some port of this address, which it would have by this name: what a lookup may tell.
    #[must_use]
    pub fn allows_some_port(&self, address: IpAddr, name: &str) -> bool {
        let name = comparable(name);
        let matches = |rule: &Rule| rule.matches_address(address) || rule.matches_name(&name);
        !self.deny.iter().any(|rule| rule.port.is_none() && matches(rule))
            && self.allow.as_ref().is_none_or(|allow| allow.iter().any(matches))
    }
}

fn comparable(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    host_name(name).map_or_else(|| name.to_lowercase(), String::from)
}

#[cfg(test)]
mod tests;
