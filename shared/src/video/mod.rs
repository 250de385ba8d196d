//! A raw picture into a frame and back: pure, no IO, integer arithmetic, the same bits everywhere.
//!
//! | module | what lives there |
//! |---|---|
//! | [`picture`] | a raw picture: sizes, colours, scaling |
//! | [`codec`] | the front door: an encoder, a decoder, a frame |
//! | `encoder`, `decoder` | what each side does with a picture and a frame |
//! | `syntax` | which symbols a frame consists of, written once for both sides |
//! | `head`, `references` | what stands before the symbols; the pictures that frames refer to |
//! | `range` | adaptive binary range coding |
//! | `transform`, `predict` | the cosine transform and its quantiser; motion, edges, deblocking |

pub mod codec;
mod decoder;
mod encoder;
mod head;
pub mod picture;
mod predict;
mod range;
mod references;
mod syntax;
#[cfg(test)]
mod tests;
mod transform;
