//! A line that is a file: what it says in words, and how it lies in the store.

use super::timeline::Line;
use crate::files::{preview, size_in_words};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};
use subrosa_shared::content::Content;
use subrosa_shared::content::file::File;
use subrosa_shared::video::picture::Picture;
use zeroize::Zeroizing;

/// The file of a line.
#[derive(Clone, Serialize, Deserialize)]
pub struct Attached {
    /// As its author told of it.
    pub file: File,
    #[serde(skip)]
    picture: OnceLock<Option<Arc<Picture>>>,
}

impl Attached {
    /// That file.
    pub fn new(file: File) -> Self {
        Self { file, picture: OnceLock::new() }
    }

    /// Its small picture, decoded once.
    pub fn picture(&self) -> Option<&Arc<Picture>> {
        self.picture.get_or_init(|| preview::decode(&self.file.preview).map(Arc::new)).as_ref()
    }

    /// What copies, exports, scripts and searches have of it.
    pub fn text(&self) -> String {
        let File { name, size, caption, .. } = &self.file;
        let gap = if caption.is_empty() { "" } else { "\n" };
        format!("{name} ({}){gap}{caption}", size_in_words(*size))
    }
}

impl PartialEq for Attached {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

impl Eq for Attached {}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl Line {
    /// Whether it is a file, also while that lies apart.
    pub fn is_file(&self) -> bool {
        self.more.is_file || self.more.file.is_some()
    }

    /// What lies apart of a line that disappears: its text, or all of its file.
    pub(super) fn apart(&self) -> Zeroizing<String> {
        Zeroizing::new(match &self.more.file {
            None => self.body.clone(),
            Some(attached) => {
                let bytes = postcard::to_stdvec(&attached.file).expect("plain fields only");
                data_encoding::BASE64.encode(&Zeroizing::new(bytes))
            }
        })
    }

    /// Without what lies apart.
    pub(super) fn bare(&self) -> Self {
        let mut bare = Self { body: String::new(), ..self.clone() };
        bare.more.is_file = self.is_file();
        bare.more.file = None;
        bare
    }

    /// With what lay apart.
    pub fn put_back(&mut self, apart: String) {
        if !self.more.is_file {
            self.body = apart;
            return;
        }
        let bytes = data_encoding::BASE64.decode(apart.as_bytes()).map(Zeroizing::new);
        let file = bytes.ok().and_then(|bytes| postcard::from_bytes::<File>(&bytes).ok());
        if let Some(attached) = file.map(Attached::new) {
            self.body = attached.text();
            self.more.file = Some(Box::new(attached));
        }
    }

    /// What it says on the wire; `None` when it says nothing any more.
    pub(super) fn content(&self) -> Option<Content> {
        match &self.more.file {
            Some(attached) => Some(Content::File(Box::new(attached.file.clone()))),
            None if self.body.is_empty() || self.more.is_file => None,
            None => Some(self.words()),
        }
    }
}
