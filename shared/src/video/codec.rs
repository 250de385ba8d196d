//! A picture into a frame and back.
