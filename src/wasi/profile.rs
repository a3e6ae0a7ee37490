//! What an entry's `imports` may name, and which interfaces each name brings.

use std::fmt;

use crate::suggest::near_miss;

/// A group of interfaces that an entry enables by one line under `imports`.
///
/// ```
/// use wippy::wasi::Profile;
///
/// assert_eq!(Profile::parse("wasi:io/streams@0.2.3").unwrap(), Profile::Io);
/// assert_eq!(Profile::parse(" WASI:Clocks ").unwrap(), Profile::Clocks);
/// assert_eq!(Profile::Clocks.name(), "wasi:clocks");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Profile {
    /// `wasi:io`: errors and streams, and polling with them.
    Io,
    /// `wasi:poll`: polling alone.
    Poll,
    /// `wasi:clocks`: wall clock and monotonic clock.
    Clocks,
    /// `wasi:cli`: arguments, environment, exit, standard streams, terminals.
    Cli,
    /// `wasi:filesystem`: the declared mounts.
    Filesystem,
    /// `wasi:random`: secure and insecure random values.
    Random,
    /// `wasi:sockets`: TCP, UDP and name lookup.
    Sockets,
    /// `wasi:http`: outgoing requests.
    Http,
    /// `wasi1`: a marker; core modules always have preview 1.
    Preview1,
    /// `funcs`: calls of functions of the registry.
    Funcs,
    /// `wippy:process`: other processes, messages and events.
    Process,
}

impl Profile {
    /// Every profile, in the order in which messages list them.
    pub const ALL: [Profile; 11] = [
        Profile::Io,
        Profile::Poll,
        Profile::Clocks,
        Profile::Cli,
        Profile::Filesystem,
        Profile::Random,
        Profile::Sockets,
        Profile::Http,
        Profile::Preview1,
        Profile::Funcs,
        Profile::Process,
    ];

    /// Reads one item of an entry's `imports`: a profile's name, an alias or one of its interfaces. Case, surrounding
    /// blanks and everything from `@` on do not count; an item of the form `namespace:name` is also tried by its name.
    ///
    /// # Errors
    /// [`UnknownImport`] with the nearest known name when there is one.
    pub fn parse(text: &str) -> Result<Profile, UnknownImport> {
        let cut = |text: &str| text.split('@').next().unwrap_or_default().trim().to_lowercase();
        let whole = cut(text);
        let name = whole.split_once(':').map_or(whole.as_str(), |(_, name)| name.trim());
        Profile::ALL
            .into_iter()
            .find(|profile| profile.is_called(&whole))
            .or_else(|| Profile::ALL.into_iter().find(|profile| profile.is_called(name)))
            .ok_or_else(|| UnknownImport { text: text.to_owned(), suggestion: near_miss(&whole, Profile::names()) })
    }

    /// The name by which an entry lists it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Io => "wasi:io",
            Profile::Poll => "wasi:poll",
            Profile::Clocks => "wasi:clocks",
            Profile::Cli => "wasi:cli",
            Profile::Filesystem => "wasi:filesystem",
            Profile::Random => "wasi:random",
            Profile::Sockets => "wasi:sockets",
            Profile::Http => "wasi:http",
            Profile::Preview1 => "wasi1",
            Profile::Funcs => "funcs",
            Profile::Process => "wippy:process",
        }
    }

    /// True when a core module can't use it.
    #[must_use]
    pub const fn component_only(self) -> bool {
        !matches!(self, Profile::Preview1 | Profile::Process)
    }

    /// The interfaces it brings, without versions. Where core modules can use it, the
    /// name of their module is the last.
    #[must_use]
    pub const fn interfaces(self) -> &'static [&'static str] {
        match self {
            Profile::Io => &["wasi:io/error", "wasi:io/streams"],
            Profile::Poll => &["wasi:io/poll"],
            Profile::Clocks => &["wasi:clocks/wall-clock", "wasi:clocks/monotonic-clock"],
            Profile::Cli => &[
                "wasi:cli/environment",
                "wasi:cli/exit",
                "wasi:cli/stdin",
                "wasi:cli/stdout",
                "wasi:cli/stderr",
                "wasi:cli/terminal-input",
                "wasi:cli/terminal-output",
                "wasi:cli/terminal-stdin",
                "wasi:cli/terminal-stdout",
                "wasi:cli/terminal-stderr",
            ],
            Profile::Filesystem => &["wasi:filesystem/types", "wasi:filesystem/preopens"],
            Profile::Random => &["wasi:random/random", "wasi:random/insecure", "wasi:random/insecure-seed"],
            Profile::Sockets => &[
                "wasi:sockets/network",
                "wasi:sockets/instance-network",
                "wasi:sockets/tcp",
                "wasi:sockets/tcp-create-socket",
                "wasi:sockets/udp",
                "wasi:sockets/udp-create-socket",
                "wasi:sockets/ip-name-lookup",
            ],
            Profile::Http => &["wasi:http/types", "wasi:http/outgoing-handler"],
            Profile::Preview1 => &["wasi_snapshot_preview1"],
            Profile::Funcs => &["wippy:runtime/funcs"],
            Profile::Process => {
                &["wippy:process/types", "wippy:process/processes", "wippy:process/mailbox", "wippy:process"]
            }
        }
    }

    /// Other names than [`Profile::name`] and the interfaces.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Profile::Preview1 => &["wasi-preview1", "preview1"],
            _ => &[],
        }
    }

    /// Every name and interface, for suggestions.
    fn names() -> impl Iterator<Item = &'static str> {
        let of = |profile: Profile| [profile.name()].into_iter().chain(profile.interfaces().iter().copied());
        Profile::ALL.into_iter().flat_map(of)
    }

    fn is_called(self, name: &str) -> bool {
        self.name() == name || self.aliases().contains(&name) || self.interfaces().contains(&name)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The profile that brings an interface; a version after `@` does not count. `None` when nothing here serves it.
///
/// ```
/// use wippy::wasi::{Profile, profile_of_interface};
///
/// assert_eq!(profile_of_interface("wasi:random/insecure@0.2.0"), Some(Profile::Random));
/// assert_eq!(profile_of_interface("acme:shop/cart"), None);
/// ```
#[must_use]
pub fn profile_of_interface(interface: &str) -> Option<Profile> {
    let name = interface.split('@').next().unwrap_or_default();
    Profile::ALL.into_iter().find(|profile| profile.interfaces().contains(&name))
}

/// The profiles an entry lists: small, ordered, and the key under which linked code is shared.
///
/// ```
/// use wippy::wasi::{Profile, ProfileSet};
///
/// let listed: ProfileSet = [Profile::Io, Profile::Cli].into_iter().collect();
/// assert!(listed.contains(Profile::Cli) && !listed.contains(Profile::Http));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileSet(u16);

impl ProfileSet {
    /// No profile at all.
    pub const EMPTY: ProfileSet = ProfileSet(0);

    /// Adds a profile; adding it twice is the same as once.
    pub fn insert(&mut self, profile: Profile) {
        self.0 |= 1 << profile as u16;
    }

    /// True when the profile is listed.
    #[must_use]
    pub const fn contains(self, profile: Profile) -> bool {
        self.0 & (1 << profile as u16) != 0
    }

    /// The listed profiles in the order of [`Profile::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Profile> {
        Profile::ALL.into_iter().filter(move |profile| self.contains(*profile))
    }
}

impl FromIterator<Profile> for ProfileSet {
    fn from_iter<I: IntoIterator<Item = Profile>>(profiles: I) -> ProfileSet {
        let mut set = ProfileSet::EMPTY;
        profiles.into_iter().for_each(|profile| set.insert(profile));
        set
    }
}

impl fmt::Debug for ProfileSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// An item of `imports` that names nothing known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownImport {
    /// The item as it is written.
    pub text: String,
    /// The nearest known name.
    pub suggestion: Option<&'static str>,
}

impl fmt::Display for UnknownImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown import `{}`", self.text)?;
        if let Some(suggestion) = self.suggestion {
            return write!(f, ", did you mean `{suggestion}`?");
        }
        f.write_str(", expected one of ")?;
        for (index, profile) in Profile::ALL.into_iter().enumerate() {
            write!(f, "{}`{profile}`", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownImport {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aliases_and_interfaces_select_their_profile() {
        for (text, profile) in [
            ("wasi:io", Profile::Io),
            ("WASI:IO", Profile::Io),
            ("  wasi:io/streams@0.2.3 ", Profile::Io),
            ("wasi:io/error", Profile::Io),
            ("wasi:io/poll", Profile::Poll),
            ("wasi:poll", Profile::Poll),
            ("wasi:clocks@0.2.8", Profile::Clocks),
            ("wasi:cli/terminal-stderr", Profile::Cli),
            ("wasi:filesystem/preopens@0.2.0", Profile::Filesystem),
            ("wasi:random/insecure-seed", Profile::Random),
            ("wasi:sockets/udp-create-socket", Profile::Sockets),
            ("wasi:http/outgoing-handler", Profile::Http),
            ("wasi1", Profile::Preview1),
            ("preview1", Profile::Preview1),
            ("wasi-preview1", Profile::Preview1),
            ("wasi_snapshot_preview1", Profile::Preview1),
            ("funcs", Profile::Funcs),
            (":funcs", Profile::Funcs),
            ("myns:wasi1", Profile::Preview1),
            ("wippy:runtime/funcs@0.1.0", Profile::Funcs),
            ("wippy:process", Profile::Process),
            ("wippy:process/mailbox@0.1.0", Profile::Process),
        ] {
            assert_eq!(Profile::parse(text), Ok(profile), "{text}");
        }
    }

    #[test]
    fn an_unknown_import_suggests_the_nearest_name() {
        let error = Profile::parse("wasi:sokets").unwrap_err();
        assert_eq!(error.to_string(), "unknown import `wasi:sokets`, did you mean `wasi:sockets`?");
        let error = Profile::parse("acme:cart").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown import `acme:cart`, expected one of `wasi:io`, `wasi:poll`, `wasi:clocks`, `wasi:cli`, \
             `wasi:filesystem`, `wasi:random`, `wasi:sockets`, `wasi:http`, `wasi1`, `funcs`, `wippy:process`"
        );
        assert!(Profile::parse("").is_err());
        assert!(Profile::parse("@0.2.0").is_err());
    }

    #[test]
    fn every_interface_leads_back_to_its_profile() {
        for profile in Profile::ALL {
            for interface in profile.interfaces() {
                assert_eq!(profile_of_interface(interface), Some(profile));
                assert_eq!(profile_of_interface(&format!("{interface}@0.2.3")), Some(profile));
            }
        }
        assert_eq!(profile_of_interface("wasi:keyvalue/store@0.2.0"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: ProfileSet = [Profile::Funcs, Profile::Io, Profile::Io].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Profile::Io, Profile::Funcs]);
        assert_eq!(format!("{set:?}"), "{Io, Funcs}");
        assert!(ProfileSet::EMPTY.iter().next().is_none());
    }
}
