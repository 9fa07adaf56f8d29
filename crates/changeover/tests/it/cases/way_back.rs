//! The way back is proven, can be told what to do with blockers, and can be given up.
