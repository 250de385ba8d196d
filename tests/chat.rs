//! Two people talk.

use subrosa::chat::timeline::LineState;
use subrosa_tests::World;

#[test]
fn a_line_is_read_on_the_other_end_and_the_author_knows() {
    let mut world = World::with(1, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["hello"]);
    assert_eq!(world.marks("ada", "ben"), [LineState::Delivered], "ben looks elsewhere");
    world.says("ben", "ada", "hello yourself");
    world.settle();
    assert_eq!(world.timeline("ada", "ben"), ["hello", "hello yourself"]);
    assert_eq!(world.marks("ada", "ben"), [LineState::Read], "who answers has read");
}

#[test]
fn both_send_at_once() {
    let mut world = World::with(2, &["ada", "ben"]);
    world.says("ada", "ben", "a1");
    world.says("ben", "ada", "b1");
    world.says("ada", "ben", "a2");
    world.says("ben", "ada", "b2");
    world.settle();
    let mut lines = world.timeline("ada", "ben");
    lines.sort();
    assert_eq!(lines, ["a1", "a2", "b1", "b2"]);
    let theirs: Vec<_> =
        world.timeline("ben", "ada").into_iter().filter(|line| line.starts_with('a')).collect();
    assert_eq!(theirs, ["a1", "a2"], "in order per sender");
    assert_eq!(world.app("ada").dropped() + world.app("ben").dropped(), 0);
}

#[test]
fn a_conversation_turns_and_every_line_arrives_once() {
    let mut world = World::with(3, &["ada", "ben"]);
    for i in 0..200 {
        let (from, to) = if i % 3 == 0 { ("ben", "ada") } else { ("ada", "ben") };
        world.says(from, to, &format!("line {i}"));
        if i % 5 == 0 {
            world.settle();
        }
    }
    world.settle();
    let mut lines = world.timeline("ben", "ada");
    assert_eq!(lines.len(), 200);
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 200);
    assert!(world.marks("ada", "ben").iter().all(|mark| *mark >= LineState::Delivered));
}

#[test]
fn a_long_text_travels_as_a_body_and_comes_whole() {
    let mut world = World::with(4, &["ada", "ben"]);
    let long = "die Rose ohne Warum ".repeat(700);
    world.says("ada", "ben", long.trim());
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), [long.trim()]);
    assert_eq!(world.marks("ada", "ben"), [LineState::Delivered]);
}
