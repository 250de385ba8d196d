//! What is said between the bare keeper and who measures it.

use quinn::RecvStream;

/// What a frame begins with: its length as a big-endian number.
const PREFIX: usize = 4;
/// What a sender hears of each of its frames.
pub const KEPT: [u8; 20] = [1; 20];

/// A frame as it is written.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    [(bytes.len() as u32).to_be_bytes().as_slice(), bytes].concat()
}

/// Reads one frame.
pub async fn take(receive: &mut RecvStream) -> anyhow::Result<Vec<u8>> {
    let mut prefix = [0; PREFIX];
    receive.read_exact(&mut prefix).await?;
    let mut bytes = vec![0; u32::from_be_bytes(prefix) as usize];
    receive.read_exact(&mut bytes).await?;
    Ok(bytes)
}
