//! A foreign profile: read or refused, its avatar a picture of the one size or none.
#![no_main]

use std::sync::LazyLock;
use subrosa::media::avatar;
use subrosa_shared::content::Content;
use subrosa_shared::profile::{AVATAR_SIDE, Profile};
use subrosa_shared::video::picture::Picture;
use vary::{choose, vary};

/// A profile with everything in it, and its avatar alone.
static WHOLE: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let picture = Picture::paint(AVATAR_SIDE, AVATAR_SIDE, |x, y| [(x * 8) as u8, (y * 8) as u8, 90]);
    let avatar = avatar::encode(&picture.expect("in bounds")).expect("fits");
    let (name, status) = ("Ada L.".to_owned(), "counting".to_owned());
    let profile = Profile { version: 7, name, status, avatar: avatar.clone() };
    (Content::Profile(profile).encode(), avatar)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 3) else { return };
    let avatar = match choice {
        0 => vary(&WHOLE.1, data),
        1 => data.to_vec(),
        _ => match Content::decode(&vary(&WHOLE.0, data)) {
            Ok(Content::Profile(profile)) => {
                assert!(profile.within_bounds());
                profile.avatar
            }
            _ => return,
        },
    };
    if let Some(picture) = avatar::decode(&avatar) {
        assert_eq!((picture.width(), picture.height()), (AVATAR_SIDE, AVATAR_SIDE));
    }
});
