//! Processes that remember the numbers of user types across a move.
