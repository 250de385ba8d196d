//! What opens on top of the conversation.

use super::act::LineCommand;
use super::ask::Ask;
use super::card::Card;
use super::command::{Command, specs};
use super::password::Password;
use super::pins::Pins;
use super::profile::Sheet;
use super::search::Search;
use super::text;
use super::theme::{Role, Theme};
use super::verify::Verify;
use super::view::Still;
use super::{files, help, keymap};
use crate::chat::Chat;
use crossterm::event::{KeyCode, KeyEvent};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Paragraph, Widget};
use subrosa_shared::id::MessageId;

/// One dialog.
#[derive(Debug)]
pub enum Dialog {
    /// Text to read.
    Text {
        /// Heading.
        title: String,
        /// Foreign or own text, several lines.
        body: String,
        /// First row shown.
        scroll: usize,
    },
    /// Text to read, with keys that change what it is about.
    Card(Box<Card>),
    /// All keys and commands.
    Help {
        /// First row shown.
        scroll: usize,
    },
    /// A question with yes and no.
    Confirm {
        /// The question.
        question: String,
        /// Done on yes.
        yes: Command,
    },
    /// A question with several answers.
    Choose {
        /// Heading.
        title: String,
        /// The question.
        question: String,
        /// Key, what it says, what it does.
        choices: Vec<(char, &'static str, Command)>,
    },
    /// The safety number with a person.
    Verify(Box<Verify>),
    /// A person's profile, or the own one.
    Profile(Box<Sheet>),
    /// Files on their way.
    Files(files::List),
    /// A picture by itself.
    View(files::View),
    /// A new passphrase.
    Ask(Box<Ask>),
    /// A new login password.
    Password(Box<Password>),
    /// What is pinned.
    Pins(Box<Pins>),
    /// What is looked for, and what was found.
    Search(Box<Search>),
    /// Conversations and commands, narrowed while typing.
    Switcher {
        /// What is typed.
        query: String,
        /// What the mark stands on, and goes along with when rows move; it is nowhere when that is gone.
        chosen: Option<Step>,
        /// The line that is forwarded to what is chosen.
        forward: Option<MessageId>,
    },
}

/// What a key did to the dialog on top.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It stays.
    Stay,
    /// It closes.
    Close,
    /// It stays, and this is done.
    Run(Command),
    /// It closes, and this is done.
    Do(Command),
    /// It closes, and this stands in the composer.
    Write(String),
}

/// A row of the switcher.
#[derive(Debug, PartialEq)]
pub struct Choice {
    /// What it is called.
    pub name: String,
    /// A line on it.
    pub about: String,
    /// What it does.
    pub step: Step,
}

impl Dialog {
    /// Text to read.
    pub fn text(title: impl Into<String>, body: impl Into<String>) -> Self {
        Self::Text { title: title.into(), body: body.into(), scroll: 0 }
    }

    /// A question; `yes` is done when it is confirmed.
    pub fn confirm(question: impl Into<String>, yes: Command) -> Self {
        Self::Confirm { question: question.into(), yes }
    }

    /// All keys and commands.
    pub fn help() -> Self {
        Self::Help { scroll: 0 }
    }

    /// Conversations and commands.
    pub fn switcher(chat: &Chat) -> Self {
        Self::Switcher { query: String::new(), chosen: first("", chat, None), forward: None }
    }

    /// Conversations that a line can be forwarded to.
    pub fn forward(line: MessageId, chat: &Chat) -> Self {
        Self::Switcher { query: String::new(), chosen: first("", chat, Some(line)), forward: Some(line) }
    }

    /// A key press, on a screen of that size.
    pub fn key(&mut self, key: KeyEvent, chat: &Chat, screen: Rect) -> Step {
        let name = keymap::chord(key).unwrap_or_default();
        if matches!(name.as_str(), "Esc" | "Ctrl+c" | "Ctrl+g") {
            return Step::Close;
        }
        match self {
            Self::Text { .. } | Self::Help { .. } => {
                let (rows, height) = self.extent(screen);
                let (Self::Text { scroll, .. } | Self::Help { scroll }) = self else { return Step::Stay };
                let page = height.max(2) - 1;
                let most = rows.saturating_sub(height);
                *scroll = match name.as_str() {
                    "q" | "Enter" | "F1" | "?" => return Step::Close,
                    "Up" | "k" | "Ctrl+p" => scroll.saturating_sub(1),
                    "Down" | "j" | "Ctrl+n" => *scroll + 1,
                    "PageUp" | "b" => scroll.saturating_sub(page),
                    "PageDown" | "Space" => *scroll + page,
                    "Home" | "g" => 0,
                    "End" | "G" => most,
                    _ => *scroll,
                }
                .min(most);
                Step::Stay
            }
            Self::Confirm { yes, .. } => match name.as_str() {
                "y" | "Y" => Step::Do(yes.clone()),
                "n" | "N" | "q" => Step::Close,
                _ => Step::Stay,
            },
            Self::Choose { choices, .. } => {
                let pressed = choices.iter().find(|(key, ..)| name.eq_ignore_ascii_case(&key.to_string()));
                pressed.map_or(Step::Stay, |(.., command)| Step::Do(command.clone()))
            }
            Self::Card(card) => card.key(&name, sized(card.size(screen.width), screen)),
            Self::Verify(verify) => verify.key(&name),
            Self::Profile(sheet) => sheet.key(&name),
            Self::Files(list) => list.key(&name, chat),
            Self::View(view) => view.key(&name),
            Self::Ask(ask) => ask.key(&name, key),
            Self::Password(password) => password.key(key, &name),
            Self::Pins(pins) => pins.key(&name),
            Self::Search(search) => search.key(key, &name, chat, screen),
            Self::Switcher { query, chosen, forward } => {
                let choices = narrowed(query, chat, *forward);
                let row = row_of(&choices, chosen.as_ref());
                let step = |row: usize| choices.get(row).map(|choice| choice.step.clone());
                match name.as_str() {
                    "Enter" => return row.and_then(step).unwrap_or(Step::Close),
                    "Up" | "Ctrl+p" | "Shift+Tab" => {
                        *chosen = step(row.map_or(0, |row| row.saturating_sub(1)));
                        return Step::Stay;
                    }
                    "Down" | "Ctrl+n" | "Tab" | "Ctrl+k" => {
                        let below = row.map_or(0, |row| row + 1);
                        *chosen = step(below.min(choices.len().saturating_sub(1)));
                        return Step::Stay;
                    }
                    "Ctrl+u" => query.clear(),
                    "Backspace" | "Ctrl+h" => drop(query.pop()),
                    _ => match key.code {
                        KeyCode::Char(c) if keymap::plain(key.modifiers) && query.len() < QUERY_MAX => {
                            query.push(c);
                        }
                        _ => return Step::Stay,
                    },
                }
                *chosen = first(query, chat, *forward);
                Step::Stay
            }
        }
    }

    /// Pasted text.
    pub fn paste(&mut self, pasted: &str, chat: &Chat) {
        if let Self::Password(password) = self {
            return password.paste(pasted);
        }
        if let Self::Search(search) = self {
            search.paste(pasted);
        }
        if let Self::Ask(ask) = self {
            ask.paste(pasted);
        }
        if let Self::Switcher { query, chosen, forward } = self {
            query.extend(text::line(pasted).chars().take(QUERY_MAX.saturating_sub(query.len())));
            *chosen = first(query, chat, *forward);
        }
    }

    /// Draws it in the middle, with what was said last where its keys do something; returns where the cursor stands.
    pub fn draw(
        &self,
        chat: &Chat,
        theme: &Theme,
        said: Option<(&str, bool)>,
        screen: Rect,
        buf: &mut Buffer,
    ) -> Option<(u16, u16)> {
        let area = match self {
            Self::Files(list) => sized(list.size(chat), screen),
            _ => self.area(screen),
        };
        let title = match self {
            Self::Text { title, .. } => text::line(title),
            Self::Help { .. } => "Keys and commands".into(),
            Self::Confirm { .. } => "Sure?".into(),
            Self::Choose { title, .. } => title.clone(),
            Self::Switcher { forward: Some(_), .. } => "Forward to".into(),
            Self::Switcher { .. } => "Go to".into(),
            Self::Pins(pins) => {
                pins.draw(theme, area, buf);
                return None;
            }
            Self::Card(card) => {
                card.draw(theme, area, buf);
                return None;
            }
            Self::Verify(verify) => {
                verify.draw(theme, screen, area, buf);
                return None;
            }
            Self::Profile(sheet) => {
                sheet.draw(theme, area, buf);
                return None;
            }
            Self::Files(list) => {
                list.draw(chat, theme, said, area, buf);
                return None;
            }
            Self::View(view) => {
                view.draw(theme, area, buf);
                return None;
            }
            Self::Ask(ask) => return ask.draw(theme, area, buf),
            Self::Password(password) => return password.draw(theme, area, buf),
            Self::Search(search) => return search.draw(chat, theme, area, buf),
        };
        let inner = frame(&title, theme, area, buf);
        let width = usize::from(inner.width);
        match self {
            Self::Text { body, scroll, .. } => {
                let body = text::harmless(body);
                let rows =
                    text::wrap(&body, width).into_iter().map(|r| Line::raw(body[r].to_owned())).collect();
                scrolled(rows, *scroll, theme, area, inner, buf);
                None
            }
            Self::Help { scroll } => {
                scrolled(help::lines(theme, width), *scroll, theme, area, inner, buf);
                None
            }
            Self::Confirm { question, .. } | Self::Choose { question, .. } => {
                asked(question, &self.answers(), theme, inner, buf);
                None
            }
            // Drawn above, in frames of their own.
            Self::Files(_) | Self::View(_) => None,
            Self::Verify(_)
            | Self::Profile(_)
            | Self::Ask(_)
            | Self::Password(_)
            | Self::Pins(_)
            | Self::Card(_)
            | Self::Search(_) => None,
            Self::Switcher { query, chosen, forward } => {
                let shown = text::line(query);
                let skip = text::width(&shown).saturating_sub(width.saturating_sub(3));
                let shown: String = shown.chars().skip(skip).collect();
                let prompt =
                    Line::from(vec![Span::styled("› ", theme.style(Role::Accent)), Span::raw(shown.clone())]);
                let mut rows = vec![prompt];
                let choices = narrowed(query, chat, *forward);
                let height = usize::from(inner.height).saturating_sub(1).max(1);
                let row = row_of(&choices, chosen.as_ref());
                let from = row.map_or(0, |row| (row + 1).saturating_sub(height));
                let names = choices.iter().map(|c| text::width(&c.name)).max().unwrap_or(0).min(width / 2);
                for (i, choice) in choices.iter().enumerate().skip(from).take(height) {
                    let marked = row == Some(i);
                    let role = if marked { Role::Chosen } else { Role::Text };
                    let about = if marked { Role::Chosen } else { Role::Dim };
                    let sign = if marked { "▸ " } else { "  " };
                    rows.push(Line::from(vec![
                        Span::styled(format!("{sign}{}", text::fit(&choice.name, names)), theme.style(role)),
                        Span::styled(
                            text::fit(&format!("  {}", choice.about), width.saturating_sub(names + 2)),
                            theme.style(about),
                        ),
                    ]));
                }
                if choices.is_empty() {
                    rows.push(Line::styled("  Nothing like that", theme.style(Role::Dim)));
                }
                Paragraph::new(rows).style(theme.style(Role::Text)).render(inner, buf);
                let column = (2 + text::width(&shown)).min(width.saturating_sub(1));
                Some((inner.x + column as u16, inner.y))
            }
        }
    }

    /// The picture that it shows, when it shows one.
    pub fn still(&self, screen: Rect) -> Option<Still> {
        match self {
            Self::View(view) => Some(view.still(inner(self.area(screen)))),
            _ => None,
        }
    }

    /// The keys that answer its question, and what they say.
    fn answers(&self) -> Vec<(String, &'static str)> {
        match self {
            Self::Confirm { .. } => vec![("y".into(), "yes"), ("n".into(), "no")],
            Self::Choose { choices, .. } => {
                choices.iter().map(|(key, what, _)| (key.to_string(), *what)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn area(&self, screen: Rect) -> Rect {
        let (width, height) = match self {
            Self::Help { .. } => (84, u16::MAX),
            Self::Switcher { .. } => (70, 18),
            Self::Search(_) => super::search::SIZE,
            Self::Verify(verify) => verify.area(screen),
            Self::Profile(sheet) => sheet.area(screen),
            Self::Files(_) | Self::View(_) => (u16::MAX, u16::MAX),
            Self::Ask(ask) => ask.size(),
            Self::Card(card) => card.size(screen.width),
            Self::Pins(pins) => pins.size(),
            Self::Password(password) => password.size(),
            Self::Confirm { question, .. } | Self::Choose { question, .. } => {
                let width = usize::from(inside(60.min(screen.width.saturating_sub(4))));
                let rows = text::wrap(&text::harmless(question), width).len();
                let rows = rows + in_rows(&self.answers(), width).len();
                (60, u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(3))
            }
            Self::Text { body, .. } => {
                let width = 76.min(screen.width.saturating_sub(4));
                let rows = text::wrap(&text::harmless(body), usize::from(inside(width))).len();
                (76, u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2))
            }
        };
        sized((width, height), screen)
    }

    /// Rows in all, and rows that are visible.
    fn extent(&self, screen: Rect) -> (usize, usize) {
        let area = self.area(screen);
        let width = usize::from(inside(area.width));
        let rows = match self {
            Self::Text { body, .. } => text::wrap(&text::harmless(body), width).len(),
            Self::Help { .. } => help::row_count(width),
            _ => 0,
        };
        (rows, usize::from(area.height.saturating_sub(2)))
    }
}

/// That much in the middle of a screen, as far as it goes.
fn sized((width, height): (u16, u16), screen: Rect) -> Rect {
    let width = if screen.width < 30 { screen.width } else { width.min(screen.width - 4) };
    let height = if screen.height < 10 { screen.height } else { height.min(screen.height - 2) };
    let (x, y) = (screen.x + (screen.width - width) / 2, screen.y + (screen.height - height) / 2);
    Rect { x, y, width, height }
}

/// What a switcher offers.
fn narrowed(query: &str, chat: &Chat, forward: Option<MessageId>) -> Vec<Choice> {
    let all = choices(query, chat);
    let Some(line) = forward else { return all };
    let to = |choice: Choice| match choice.step {
        Step::Do(Command::Open(room)) => {
            let command = Command::Line(Some(line), LineCommand::ForwardTo(room));
            Some(Choice { step: Step::Do(command), ..choice })
        }
        _ => None,
    };
    all.into_iter().filter_map(to).collect()
}

/// Where the mark of a switcher stands at first.
fn first(query: &str, chat: &Chat, forward: Option<MessageId>) -> Option<Step> {
    narrowed(query, chat, forward).into_iter().next().map(|choice| choice.step)
}

/// The row of what is chosen, if it is there.
fn row_of(choices: &[Choice], chosen: Option<&Step>) -> Option<usize> {
    choices.iter().position(|choice| chosen == Some(&choice.step))
}

/// Conversations and commands that match, best first.
pub fn choices(query: &str, chat: &Chat) -> Vec<Choice> {
    let rooms = chat.rooms.iter().map(|room| {
        let about = match room.kept.unread {
            _ if room.person.blocked => "blocked".to_owned(),
            _ if room.person.is_request() && room.group.is_some() => "invitation".to_owned(),
            _ if room.person.is_request() => "request of a stranger".to_owned(),
            0 if room.online => "online".to_owned(),
            0 => String::new(),
            n => format!("{n} unread"),
        };
        let name = room.full_name();
        Choice { name, about, step: Step::Do(Command::Open(room.id)) }
    });
    let commands = specs().map(|spec| {
        let step = match (spec.parse)("") {
            // Commands that can do without an argument are done, others wait for it.
            Ok(command) => Step::Do(command),
            Err(_) => Step::Write(format!("/{} ", spec.name)),
        };
        let key = spec.keys.first().filter(|(_, argument)| argument.is_empty());
        let about = key.map_or(spec.help.to_owned(), |(key, _)| format!("{}  {key}", spec.help));
        Choice { name: format!("/{}", spec.name), about, step }
    });
    let all = rooms.chain(commands);
    if query.trim().is_empty() {
        return all.collect();
    }
    let pattern = Pattern::parse(query.trim(), CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buf = Vec::new();
    let mut found: Vec<(u32, Choice)> = all
        .filter_map(|choice| {
            let by_name =
                pattern.score(Utf32Str::new(&choice.name, &mut buf), &mut matcher).map(|score| score + 100);
            let score =
                by_name.or_else(|| pattern.score(Utf32Str::new(&choice.about, &mut buf), &mut matcher))?;
            Some((score, choice))
        })
        .collect();
    // Stable: among equals the order of the sidebar stays.
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, choice)| choice).collect()
}

/// A question, and the keys that answer it.
fn asked(question: &str, keys: &[(String, &str)], theme: &Theme, inner: Rect, buf: &mut Buffer) {
    let question = text::harmless(question);
    let rows = text::wrap(&question, inner.width.into());
    let mut rows: Vec<Line> = rows.into_iter().map(|r| Line::raw(question[r].to_owned())).collect();
    let keys = in_rows(keys, inner.width.into());
    rows.truncate(usize::from(inner.height).saturating_sub(1 + keys.len()));
    rows.push(Line::raw(""));
    for row in keys {
        let row: Vec<(&str, &str)> = row.iter().map(|(key, what)| (key.as_str(), *what)).collect();
        rows.push(hint(theme, &row));
    }
    Paragraph::new(rows).style(theme.style(Role::Text)).render(inner, buf);
}

/// Keys as they fit beside each other: each row that [`hint`] makes of them.
fn in_rows<'a, 'b>(keys: &'a [(String, &'b str)], columns: usize) -> Vec<&'a [(String, &'b str)]> {
    let mut rows = Vec::new();
    let (mut from, mut used) = (0, 0);
    for (i, (key, what)) in keys.iter().enumerate() {
        let wide = text::width(key) + 1 + text::width(what);
        if i > from && used + 3 + wide > columns {
            rows.push(&keys[from..i]);
            (from, used) = (i, 0);
        }
        used += if i > from { 3 + wide } else { wide };
    }
    rows.push(&keys[from..]);
    rows
}

/// Draws an empty box with a title and returns its inside.
pub fn frame(title: &str, theme: &Theme, area: Rect, buf: &mut Buffer) -> Rect {
    Clear.render(area, buf);
    let title = text::truncate(title, usize::from(area.width.saturating_sub(6)));
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.style(Role::Rule))
        .padding(Padding::horizontal(1))
        .title(Span::styled(format!(" {title} "), theme.style(Role::Accent)))
        .style(theme.style(Role::Text));
    block.render(area, buf);
    inner(area)
}

/// What is inside of a frame.
fn inner(area: Rect) -> Rect {
    Block::bordered().padding(Padding::horizontal(1)).inner(area)
}

/// Keys and what they do, on one row.
pub fn hint(theme: &Theme, keys: &[(&str, &str)]) -> Line<'static> {
    let mut spans = Vec::new();
    for (i, (key, what)) in keys.iter().enumerate() {
        let gap = if i == 0 { "" } else { "   " };
        spans.push(Span::raw(gap));
        spans.push(Span::styled((*key).to_owned(), theme.style(Role::Accent)));
        spans.push(Span::styled(format!(" {what}"), theme.style(Role::Dim)));
    }
    Line::from(spans)
}

pub(super) fn scrolled(
    rows: Vec<Line>,
    scroll: usize,
    theme: &Theme,
    area: Rect,
    inner: Rect,
    buf: &mut Buffer,
) {
    let height = usize::from(inner.height);
    let most = rows.len().saturating_sub(height);
    let from = scroll.min(most);
    if most > 0 && area.width > 24 && area.height > 2 {
        let percent = from * 100 / most;
        let place = format!(" {percent}% ↑↓ Esc ");
        let x = area.right().saturating_sub(place.chars().count() as u16 + 2);
        buf.set_string(x, area.bottom() - 1, place, theme.style(Role::Dim));
    }
    let rows: Vec<Line> = rows.into_iter().skip(from).take(height).collect();
    Paragraph::new(rows).style(theme.style(Role::Text)).render(inner, buf);
}

/// Columns inside of a frame.
fn inside(width: u16) -> u16 {
    width.saturating_sub(4)
}

const QUERY_MAX: usize = 100;
