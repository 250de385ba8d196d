//! The one state and the one function that changes it.
