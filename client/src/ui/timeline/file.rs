//! A line that is a file: its name, what its author says of it, a small picture, how far it is.

use super::{Layout, Row, Strip};
use crate::chat::attached::Attached;
use crate::chat::timeline::{Author, Line};
use crate::files::size_in_words;
use crate::media::cells;
use crate::ui::files::{arrow, state_role};
use crate::ui::theme::Role;
use crate::ui::{text, video};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

/// The most columns and rows of a small picture.
const PREVIEW: (u16, u16) = (36, 12);

impl Layout<'_> {
    /// The rows of a file behind `head`, `left` columns from the edge; the mark of the line follows
    /// its name.
    pub(super) fn file(
        &self,
        line: &Line,
        attached: &Attached,
        left: usize,
        head: Vec<Span<'static>>,
        columns: usize,
        rows: &mut Vec<Row>,
    ) {
        let style = |role| self.theme.style(role);
        let indent = || Span::raw(" ".repeat(left));
        let size = format!("  {}", size_in_words(attached.file.size));
        let room = columns.saturating_sub(text::width(&size) + 2).max(1);
        let name = text::truncate(&text::line(&attached.file.name), room);
        let used = 2 + text::width(&name) + text::width(&size);
        let mut spans = head;
        spans.push(Span::styled("■ ", style(Role::Accent)));
        spans.push(Span::styled(name, style(Role::Text)));
        spans.push(Span::styled(size, style(Role::Dim)));
        self.mark_at_edge(&mut spans, line, columns, used);
        rows.push(Row { spans, ..Row::default() });
        let caption = (text::harmless(&attached.file.caption), Role::Text);
        for (said, role) in [caption, (self.behind(line).trim_start().to_owned(), Role::Dim)] {
            for range in text::wrap(&said, columns).into_iter().filter(|_| !said.is_empty()) {
                let spans = vec![indent(), Span::styled(said[range].to_owned(), style(role))];
                rows.push(Row { spans, ..Row::default() });
            }
        }
        if let Some(picture) = attached.picture().filter(|_| columns >= 8) {
            let area = Rect { x: 0, y: 0, width: PREVIEW.0.min(columns as u16), height: PREVIEW.1 };
            let area = Rect { x: 0, y: 0, ..cells::fit(picture, area) };
            let mut buf = Buffer::empty(area);
            let (mode, colours) = video::means(self.caps);
            cells::draw(picture, area, &mut buf, mode, colours);
            for y in 0..area.height {
                let mut spans = vec![indent()];
                spans.extend((0..area.width).filter_map(|x| buf.cell((x, y))).map(|cell| {
                    let colours = Style::new().fg(cell.fg).bg(cell.bg);
                    Span::styled(cell.symbol().to_owned(), colours)
                }));
                let (picture, size) = (picture.clone(), (area.width, area.height));
                let strip = Strip { of: line.id, picture, left: left as u16, size, row: y };
                rows.push(Row { spans, picture: Some(strip), ..Row::default() });
            }
        }
        let state = match self.transfers.iter().find(|transfer| transfer.id == line.id) {
            Some(transfer) => {
                Some((format!("{} {}", arrow(transfer), text::line(&transfer.said())), state_role(transfer)))
            }
            None if line.author == Author::Them => Some(("not listed any more".into(), Role::Dim)),
            None => None,
        };
        let Some((said, role)) = state else { return };
        for range in text::wrap(&said, columns) {
            let spans = vec![indent(), Span::styled(said[range].to_owned(), style(role))];
            rows.push(Row { spans, ..Row::default() });
        }
    }
}
