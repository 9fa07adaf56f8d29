//! What the move would stumble over is told by `plan`, before anything was done.
