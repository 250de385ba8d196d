//! A raw picture into a frame and back: pure, no IO, integer arithmetic.
pub mod codec;
pub mod picture;
