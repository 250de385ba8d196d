//! Sessions as a whole: published vectors, snow beside ours, the rules one by one, a bad network.

mod clocks;
mod differential;
mod network;
mod rules;
mod strangers;
mod vectors;
mod world;
