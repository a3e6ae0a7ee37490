//! The `volume` room.
