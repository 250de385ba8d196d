//! What opens on top of the conversation.

use super::command::Command;

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
    /// A question with yes and no.
    Confirm {
        /// The question.
        question: String,
        /// Done on yes.
        yes: Command,
    },
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
}
