//! Inputs close to valid ones: libFuzzer has no corpus here, so targets hand it something to bend.

/// `valid` with the changes that `script` lists: three bytes each, where (u16 BE) and what to XOR.
/// A change past the end cuts there or appends instead. No script, or one of zeros, changes nothing.
pub fn vary(valid: &[u8], script: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for change in script.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
        match bytes.get_mut(at) {
            Some(byte) => *byte ^= change[2],
            None if change[2] & 1 == 1 => bytes.push(change[2]),
            None => bytes.truncate(at % (bytes.len() + 1)),
        }
    }
    bytes
}

/// The first byte chooses, the rest is input.
pub fn choose(data: &[u8], choices: u8) -> Option<(u8, &[u8])> {
    let (&first, rest) = data.split_first()?;
    Some((first % choices, rest))
}
