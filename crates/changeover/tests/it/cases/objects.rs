//! What is no row: functions, grants, indexes, settings, large objects. A change is named.
