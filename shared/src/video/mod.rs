//! A raw picture into a frame and back: pure, no IO, integer arithmetic, the same bits everywhere.
//!
//! | module | what lives there |
//! |---|---|
//! | [`picture`] | a raw picture: sizes, colours, scaling |
//! | [`codec`] | the front door: an encoder, a decoder, a frame |
//! | `encoder`, `decoder` | what each side does with a picture and a frame |
//! | `search`, `motion`, `fine`, `quantise` | how the encoder chooses blocks, motions and levels |
//! | `head`, `frame`, `references` | what stands before the symbols and what follows from it; the pictures that frames refer to |
//! | `syntax`, `levels`, `symbols`, `grid` | which symbols a frame consists of, written once for both sides, and what they depend on |
//! | `model`, `tables`, `train`, `range` | how likely each bit is, learned from footage; binary range coding |
//! | `canvas`, `plane`, `edges`, `transform` | what symbols look like: motion, edges, the cosine transform |
//! | `smooth`, `direction` | smoothing of borders and along directions |
//!
//! The tools are those that others published for everybody's use: golden frames and the simple
//! border filter from VP8, motion filters and wide smoothing from VP9, several block and transform
//! sizes, edges and smoothing along directions from Theora's heirs Daala and AV1, rate-distortion
//! optimised levels as in all of them; range coding and mixing of context models from the
//! public-domain LZMA SDK and `lpaq`. Each file names its source.

mod canvas;
pub mod codec;
mod decoder;
mod direction;
mod edges;
mod encoder;
mod fine;
mod frame;
mod grid;
mod head;
mod levels;
mod model;
mod motion;
pub mod picture;
mod plane;
mod quantise;
mod range;
mod references;
mod search;
mod smooth;
mod symbols;
mod syntax;
mod tables;
#[cfg(test)]
mod tests;
mod train;
mod transform;
