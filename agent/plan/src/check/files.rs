//! Checks the files of an order: each has a path and contents, and goes to a place that persists.

use super::super::files;
use super::{Mistakes, images};
use burin_protocol::order::{Account, Order, OrderFile};
use std::collections::BTreeSet;
use std::path::{Component, Path};

/// These are empty after every boot.
const VOLATILE: [&str; 4] = ["/run", "/proc", "/sys", "/dev"];
/// Linux's PATH_MAX.
const LONGEST: usize = 4095;

pub fn check(order: &Order, mistakes: &mut Mistakes) {
    let mut seen = BTreeSet::new();
    for (i, file) in order.files.iter().enumerate() {
        let at = format!("/files/{i}");
        mistakes.ensure(
            is_path(&file.path),
            &format!("{at}/path"),
            "expected an absolute path of a file, without `..`",
        );
        let stays = VOLATILE.iter().all(|place| !Path::new(&file.path).starts_with(place));
        mistakes.ensure(stays, &format!("{at}/path"), "nothing that is put there would be there when the system runs");
        let first = seen.insert((file.set.as_deref(), &file.path));
        mistakes.ensure(first, &format!("{at}/path"), "another file has this path");
        contents(file, &at, mistakes);
        mistakes.ensure(
            file.permissions().is_some(),
            &format!("{at}/mode"),
            "expected an octal number such as \"0640\"",
        );
        for (word, account) in [("owner", &file.owner), ("group", &file.group)] {
            let right = match account {
                Some(Account::Name(name)) => !name.is_empty() && !name.contains([':', '\n']),
                Some(Account::Number(number)) => *number != u32::MAX,
                None => true,
            };
            mistakes.ensure(right, &format!("{at}/{word}"), "expected a number or a name");
        }
        for layout in &order.layouts {
            match files::set_of(order, layout, file).map(|set| layout.disks.get(set)) {
                _ if layout.tree.is_some() && file.set.is_none() => {}
                None => mistakes.add(
                    format!("{at}/set"),
                    format!("in layout `{}` nothing says which disk set gets the file: name one", layout.name),
                ),
                Some(None) => {
                    mistakes.add(format!("{at}/set"), format!("the layout `{}` has no such disk set", layout.name))
                }
                Some(Some(set)) => mistakes.ensure(
                    set.image.is_some() || layout.tree.is_some(),
                    &format!("{at}/set"),
                    "there is no system on these disks: it has neither an `image` nor a `tree`",
                ),
            }
        }
    }
}

fn contents(file: &OrderFile, at: &str, mistakes: &mut Mistakes) {
    let given = [file.contents.is_some(), file.base64.is_some(), file.url.is_some()];
    let one = given.iter().filter(|given| **given).count() == 1;
    mistakes.ensure(one, at, "expected one of `contents`, `base64` and `url`");
    mistakes.ensure(
        file.url.is_some() == file.digest.is_some(),
        &format!("{at}/digest"),
        "what is fetched needs a `digest`, and nothing else has one",
    );
    if let Some(url) = &file.url {
        images::url(url, &format!("{at}/url"), mistakes);
    }
    images::digest(file.digest.as_deref(), &format!("{at}/digest"), mistakes);
}

fn is_path(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    let root = parts.next() == Some(Component::RootDir);
    let names = parts.clone().count() > 0 && parts.all(|part| matches!(part, Component::Normal(_)));
    root && names && path.len() <= LONGEST && !path.ends_with('/') && !path.chars().any(char::is_control)
}
