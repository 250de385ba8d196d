//! What is remembered of each 4 by 4 luma square while its picture is coded, and what a block can
//! learn from the squares around it.

use super::plane::Motion;

/// Which other pictures a block is predicted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum From {
    /// None: it continues its edges.
    #[default]
    Edges,
    Last,
    Golden,
    /// The mean of both.
    Both,
}

impl From {
    /// Whether a reference is used: 0 is the last one, 1 the golden one.
    pub fn uses(self, reference: usize) -> bool {
        self == Self::Both || self == [Self::Last, Self::Golden][reference]
    }
}

/// How a block is predicted from other pictures. A motion that is not used is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    pub from: From,
    pub motion: [Motion; 2],
}

/// One 4 by 4 square.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    /// Its samples are final but for smoothing.
    pub filled: bool,
    pub moves: Moves,
    pub skip: bool,
    pub merged: bool,
    /// Its luma has levels.
    pub coded: bool,
    /// How its edges continue.
    pub mode: u8,
    /// Side of its block, as a power of two.
    pub log: u8,
    /// A block or a transform begins at its left, at its top.
    pub border: [bool; 2],
}

/// All squares of a picture.
pub(super) struct Grid {
    pub columns: usize,
    pub rows: usize,
    cells: Vec<Cell>,
}

/// The squares around a block that are coded already.
#[derive(Clone, Copy)]
pub(super) struct Near {
    pub left: Option<Cell>,
    pub above: Option<Cell>,
    pub corner: Option<Cell>,
    pub right: Option<Cell>,
    pub below: Option<Cell>,
}

/// The most neighbours that a block can choose to move like.
pub(super) const MERGE_MAX: usize = 6;

/// Whom a block may move like.
#[derive(Clone, Copy, Default)]
pub(super) struct Merges {
    list: [Moves; MERGE_MAX],
    count: usize,
}

impl Grid {
    /// For luma of this size in samples, whole 4 by 4 squares.
    pub fn new(width: usize, height: usize) -> Self {
        let (columns, rows) = (width / 4, height / 4);
        Self { columns, rows, cells: vec![Cell::default(); columns * rows] }
    }

    /// The square at this column and row.
    pub fn cell(&self, column: usize, row: usize) -> &Cell {
        &self.cells[row * self.columns + column]
    }

    /// The square at these luma samples, when it is coded already.
    pub fn filled(&self, x: i32, y: i32) -> Option<&Cell> {
        let (column, row) = (usize::try_from(x >> 2).ok()?, usize::try_from(y >> 2).ok()?);
        (column < self.columns && row < self.rows).then(|| self.cell(column, row)).filter(|cell| cell.filled)
    }

    /// Changes all squares of a block, as far as it lies inside.
    pub fn update(&mut self, x: usize, y: usize, side: usize, change: impl Fn(&mut Cell)) {
        let (left, right) = (x / 4, ((x + side) / 4).min(self.columns));
        for row in y / 4..((y + side) / 4).min(self.rows) {
            let start = row * self.columns;
            self.cells[start + left..start + right].iter_mut().for_each(&change);
        }
    }

    /// A block or a transform begins there: its borders may need smoothing.
    pub fn begin(&mut self, x: usize, y: usize, side: usize) {
        for at in 0..side / 4 {
            self.cells[(y / 4 + at) * self.columns + x / 4].border[0] = true;
            self.cells[y / 4 * self.columns + x / 4 + at].border[1] = true;
        }
    }

    /// What lies around a block.
    pub fn near(&self, x: usize, y: usize, side: usize) -> Near {
        let (x, y, side) = (x as i32, y as i32, side as i32);
        let get = |x, y| self.filled(x, y).copied();
        Near {
            left: get(x - 1, y + side - 1),
            above: get(x + side - 1, y - 1),
            corner: get(x - 1, y - 1),
            right: get(x + side, y - 1),
            below: get(x - 1, y + side),
        }
    }
}

impl Near {
    fn all(&self) -> impl Iterator<Item = &Cell> {
        [&self.left, &self.above, &self.right, &self.below, &self.corner].into_iter().flatten()
    }

    /// 0 or 1 for each of left and above as `is` says, 2 where there is none: below 9.
    pub fn pair(&self, is: impl Fn(&Cell) -> bool) -> usize {
        let value = |cell: &Option<Cell>| cell.as_ref().map_or(2, |cell| usize::from(is(cell)));
        value(&self.left) * 3 + value(&self.above)
    }

    /// How many around are so: at most 5.
    pub fn count(&self, is: impl Fn(&Cell) -> bool) -> usize {
        self.all().filter(|cell| is(cell)).count()
    }

    /// How the neighbours move against one reference: the middle of three.
    pub fn motion(&self, reference: usize) -> Motion {
        let mut found =
            self.all().filter(|c| c.moves.from.uses(reference)).map(|c| c.moves.motion[reference]);
        match (found.next(), found.next(), found.next()) {
            (None, ..) => Motion::default(),
            (Some(a), Some(b), Some(c)) => {
                let middle = |a: i16, b: i16, c: i16| a.max(b).min(a.min(b).max(c));
                Motion { x: middle(a.x, b.x, c.x), y: middle(a.y, b.y, c.y) }
            }
            (Some(a), ..) => a,
        }
    }

    /// Whom the block may move like: its neighbours, then standing still. Each way once.
    pub fn merges(&self, two: bool) -> Merges {
        let mut merges = Merges::default();
        for cell in self.all().filter(|cell| cell.moves.from != From::Edges) {
            merges.add(cell.moves);
        }
        let still = |from| Moves { from, motion: [Motion::default(); 2] };
        merges.add(still(if two { From::Both } else { From::Last }));
        if two {
            // One neighbour's way in the last picture with another one's in the golden one.
            let way = |reference: usize| {
                let mut ways = self.all().filter(|c| c.moves.from.uses(reference));
                ways.next().map(|c| c.moves.motion[reference])
            };
            if let (Some(last), Some(golden)) = (way(0), way(1)) {
                merges.add(Moves { from: From::Both, motion: [last, golden] });
            }
            merges.add(still(From::Last));
            merges.add(still(From::Golden));
        }
        merges
    }
}

impl Merges {
    fn add(&mut self, moves: Moves) {
        if self.count < MERGE_MAX && !self.all().contains(&moves) {
            self.list[self.count] = moves;
            self.count += 1;
        }
    }

    pub fn all(&self) -> &[Moves] {
        &self.list[..self.count]
    }
}
