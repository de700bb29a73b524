//! Dependencies between rooms and between crates are those that ARCHITECTURE.md lists, and have no cycles.

use burin_house::{code, read, rows, sources};
use std::collections::{BTreeMap, BTreeSet};

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Who uses whom among `crate::ROOM` of the agent.
fn rooms() -> Graph {
    let modules: BTreeSet<String> = read("agent/src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned))
        .collect();
    let mut graph: Graph = modules.iter().map(|room| (room.clone(), BTreeSet::new())).collect();
    for (path, text) in sources("agent/src") {
        let inside = path.strip_prefix("agent/src/").unwrap();
        let room = inside.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let Some(used) = graph.get_mut(&room) else { continue };
        for rest in text.split("crate::").skip(1) {
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap().split(',').collect(),
                None => vec![rest],
            };
            for name in names {
                let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if modules.contains(&name) && name != room {
                    used.insert(name);
                }
            }
        }
    }
    graph
}

/// The last column of the table of rooms; `run.rs`, `run/` and `run` are one room.
fn documented() -> Graph {
    let mut graph = Graph::new();
    for row in rows(&read("ARCHITECTURE.md"), "## Rooms of the agent") {
        assert_eq!(row.len(), 3, "a room, its duty, whom it uses: {row:?}");
        let used: BTreeSet<String> = code(&row[2]).into_iter().collect();
        for name in code(&row[0]) {
            let room = name.trim_end_matches('/').trim_end_matches(".rs").to_owned();
            graph.entry(room).or_default().extend(used.clone());
        }
    }
    graph.remove("main");
    graph
}

#[test]
fn rooms_use_each_other_as_the_map_says() {
    assert_eq!(rooms(), documented(), "left: the source; right: ARCHITECTURE.md, \"Rooms of the agent\"");
}

#[test]
fn crates_depend_on_each_other_as_the_map_says() {
    let workspace: BTreeSet<String> = read("Cargo.toml")
        .lines()
        .filter(|line| line.contains("{ path = "))
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    let mut above: BTreeSet<String> = BTreeSet::new();
    for row in rows(&read("ARCHITECTURE.md"), "## Members of the workspace") {
        let folder = code(&row[0]).concat();
        let manifest = read(format!("{folder}Cargo.toml"));
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"').to_owned();
        let section = manifest.split("[dependencies]").nth(1).unwrap_or_default().split("\n[").next().unwrap();
        let names = section.lines().filter_map(|line| line.split(['.', ' ']).next().map(str::to_owned));
        let found: BTreeSet<String> = names.filter(|name| workspace.contains(name)).collect();
        match row[2].as_str() {
            "nothing of ours" => assert!(found.is_empty(), "{folder}: {found:?}"),
            "all of the above" => assert!(found.is_subset(&above), "{folder}: {:?}", found.difference(&above)),
            list => assert_eq!(found, code(list).into_iter().collect(), "{folder}: left: Cargo.toml; right: the map"),
        }
        above.insert(name);
    }
}

/// No way leads from a room back to itself.
#[test]
fn rooms_have_no_circles() {
    let mut graph = rooms();
    while let Some(room) = graph.iter().find(|(_, used)| used.is_empty()).map(|(room, _)| room.clone()) {
        graph.remove(&room);
        for used in graph.values_mut() {
            used.remove(&room);
        }
    }
    assert!(graph.is_empty(), "these use each other in a circle: {graph:#?}");
}
