//! The symbols that a frame consists of, and how many contexts each one is seen in.

/// A binary decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Symbol {
    /// The quantiser is not the expected one; and its difference in unary with a sign.
    Quantiser,
    /// How strongly the picture is smoothed, in unary.
    Smoothing,
    /// A square divides into four.
    Split,
    /// A block moves like a neighbour, and nothing more is said.
    Skip,
    /// A block continues its edges.
    Intra,
    /// A block moves like a neighbour.
    Merge,
    /// It is this neighbour.
    Which,
    /// Both references; the golden one.
    References,
    /// A motion differs from the expected one in this direction.
    Moved,
    /// By how much, in unary of powers of two; the first digit after it.
    Far,
    /// How edges continue, in unary.
    Mode,
    /// A block's residual divides into four.
    Divide,
    /// A luma square has levels.
    Luma,
    /// A chroma square has levels.
    Chroma,
    /// How many places the levels reach, in unary of powers of two.
    Reach,
    /// The digits after it.
    Digit,
    /// A level is not zero.
    Some,
    /// It is above one; above two and so on.
    More,
    /// The whole picture is the one that it refers to.
    Still,
}

/// All of them, in order.
pub(super) const SYMBOLS: usize = 19;

/// Of each symbol, the number of values of each of its contexts. The last context of each is
/// coarse, so that something is known even where little was seen.
const SIZES: [&[usize]; SYMBOLS] = [
    &[4],
    &[4, 12],
    &[108, 108, 60],
    &[27, 27, 45, 81],
    &[9, 18, 9],
    &[18, 27, 9],
    &[54, 72, 96, 36],
    &[50, 36, 18],
    &[36, 24, 12],
    &[20, 60, 40],
    &[120, 120, 60],
    &[24, 24, 18],
    &[72, 72, 48, 24],
    &[96, 48, 24],
    &[144, 144, 108, 108],
    &[96, 96],
    &[108, 192, 96, 144, 96, 108],
    &[126, 168, 84, 112],
    &[4],
];

impl Symbol {
    /// How many values each of its contexts has.
    pub const fn sizes(self) -> &'static [usize] {
        SIZES[self as usize]
    }

    /// Where each context's guess lies.
    pub fn slots(self, contexts: &[usize]) -> impl Iterator<Item = usize> {
        debug_assert_eq!(contexts.len(), self.sizes().len(), "{self:?}");
        let mut start = STARTS[self as usize];
        self.sizes().iter().zip(contexts).map(move |(size, context)| {
            debug_assert!(context < size, "{self:?}: {context} of {size}");
            let slot = start + context;
            start += size;
            slot
        })
    }
}

/// How many guesses there are.
pub(super) const SLOTS: usize = STARTS[SYMBOLS];

const STARTS: [usize; SYMBOLS + 1] = {
    let mut starts = [0; SYMBOLS + 1];
    let mut symbol = 0;
    while symbol < SYMBOLS {
        let mut start = starts[symbol];
        let mut context = 0;
        while context < SIZES[symbol].len() {
            start += SIZES[symbol][context];
            context += 1;
        }
        starts[symbol + 1] = start;
        symbol += 1;
    }
    starts
};
