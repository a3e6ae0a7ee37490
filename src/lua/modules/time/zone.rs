//! Time zones, from the data that is built in: no file is read while a script runs.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use mlua::{MetaMethod, UserData, UserDataMethods};

/// That of the system. It is read when scripts are loaded, see [`prepare`].
static LOCAL: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// Reads what blocks, before any script runs.
pub(in crate::lua) fn prepare() {
    LazyLock::force(&LOCAL);
}

/// A location, as Go calls it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Zone {
    Utc,
    Local,
    /// A zone of the IANA database.
    Named(TimeZone),
    Fixed(Arc<str>, Offset),
}

impl Zone {
    /// The zone of an IANA name; `UTC` and `Local` are zones too.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name {
            "UTC" => Some(Self::Utc),
            "Local" => Some(Self::Local),
            name => TimeZone::get(name).ok().map(Self::Named),
        }
    }

    /// A zone with an offset in seconds; none beyond 25 hours.
    pub(super) fn fixed(name: &str, seconds: i64) -> Option<Self> {
        let offset = Offset::from_seconds(i32::try_from(seconds).ok()?).ok()?;
        Some(Self::Fixed(name.into(), offset))
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Utc => "UTC",
            Self::Local => "Local",
            Self::Named(zone) => zone.iana_name().unwrap_or_default(),
            Self::Fixed(name, _) => name,
        }
    }

    pub(super) fn zone(&self) -> TimeZone {
        match self {
            Self::Utc => TimeZone::UTC,
            Self::Local => LOCAL.clone(),
            Self::Named(zone) => zone.clone(),
            Self::Fixed(_, offset) => TimeZone::fixed(*offset),
        }
    }

    pub(super) fn offset(&self, at: Timestamp) -> Offset {
        self.zone().to_offset(at)
    }

    /// How the zone is called at this time: `CET` in winter, `CEST` in summer. Empty for an offset without a name.
    pub(super) fn abbreviation(&self, at: Timestamp) -> String {
        match self {
            Self::Utc => "UTC".to_owned(),
            Self::Fixed(name, _) => name.to_string(),
            Self::Local | Self::Named(_) => self.zone().to_offset_info(at).abbreviation().to_owned(),
        }
    }

    /// The offset that the zone has under this abbreviation: the one at `near`, or else that of half a year later.
    pub(super) fn offset_called(&self, abbreviation: &str, near: Timestamp) -> Option<Offset> {
        let half_year = jiff::SignedDuration::from_hours(24 * 182);
        [Some(near), near.checked_add(half_year).ok()]
            .into_iter()
            .flatten()
            .find(|at| self.abbreviation(*at) == abbreviation)
            .map(|at| self.offset(at))
    }
}

impl UserData for Zone {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("string", |lua, zone, ()| lua.create_string(zone.name()));
        methods.add_meta_method(MetaMethod::ToString, |lua, zone, ()| lua.create_string(zone.name()));
    }
}
