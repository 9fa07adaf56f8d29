//! way_back
