//! From a change stream to whole target transactions: ordering, batching, segments, progress, verification logic (L1).
