//! Which file of a package uses which, by `use` declarations and by paths in the code, and where such uses
//! go in a circle.
//!
//! A file may use what the file of a folder above it defines (`hub/watch.rs` what `hub/mod.rs` does), since
//! it is a part of that; everything else counts. A name that a module only passes on (`pub use`) counts as
//! a use of the file that defines it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A module by its path below the crate's root.
type Module = Vec<String>;

/// The files of a package, and which of them use which.
pub struct Graph {
    files: BTreeMap<Module, String>,
    uses: BTreeMap<Module, BTreeSet<Module>>,
}

/// What a module says: names that it imports, with their paths, and all paths that it mentions.
#[derive(Default)]
struct Paths {
    imports: BTreeMap<String, Vec<String>>,
    mentioned: Vec<Vec<String>>,
}

impl Graph {
    /// The graph of `files`, of which each has its path below the package's folder and its code, without
    /// comments and tests.
    pub fn of(files: &[(String, String)]) -> Self {
        let modules: BTreeMap<Module, Paths> =
            files.iter().map(|(file, code)| (module(file), Paths::of(code))).collect();
        let mut uses = BTreeMap::new();
        for (user, paths) in &modules {
            let used = paths.mentioned.iter().filter_map(|path| {
                let path = match paths.imports.get(&path[0]) {
                    Some(import) if path.len() > 1 => [import, &path[1..]].concat(),
                    _ => path.clone(),
                };
                Some(definition(&modules, absolute(&modules, user, &path)?))
            });
            uses.insert(user.clone(), used.filter(|used| !user.starts_with(used)).collect());
        }
        let files = files.iter().map(|(file, _)| (module(file), file.clone())).collect();
        Self { files, uses }
    }

    /// Leaves out that one file uses another. Returns whether it does.
    pub fn forget(&mut self, user: &str, used: &str) -> bool {
        self.uses.get_mut(&module(user)).is_some_and(|uses| uses.remove(&module(used)))
    }

    /// The files of each circle, from one back to itself: the shortest circle of each file in one.
    pub fn circles(&self) -> Vec<String> {
        let mut found = BTreeMap::new();
        for start in self.uses.keys() {
            if let Some(circle) = self.circle(start) {
                let members: BTreeSet<&Module> = circle.iter().copied().collect();
                let names = circle.iter().map(|module| self.files[*module].as_str());
                found.entry(members).or_insert_with(|| names.collect::<Vec<_>>().join(" → "));
            }
        }
        found.into_values().collect()
    }

    /// The shortest way from a module back to itself.
    fn circle<'a>(&'a self, start: &'a Module) -> Option<Vec<&'a Module>> {
        let mut from: BTreeMap<&Module, &Module> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(module) = queue.pop_front() {
            for next in self.uses.get(module).into_iter().flatten() {
                if from.contains_key(next) {
                    continue;
                }
                from.insert(next, module);
                if next == start {
                    let mut way = vec![start, module];
                    while way[way.len() - 1] != start {
                        way.push(from[way[way.len() - 1]]);
                    }
                    way.reverse();
                    return Some(way);
                }
                queue.push_back(next);
            }
        }
        None
    }
}

/// The module of a file below a package's folder.
fn module(file: &str) -> Module {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let path = if path == "lib" { "" } else { path };
    path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A path from the crate's root; `None` if it leads to another crate, or to nothing but a local name.
fn absolute(
    modules: &BTreeMap<Module, Paths>,
    user: &Module,
    path: &[String],
) -> Option<Vec<String>> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([user, &path[1..]].concat()),
        "super" => Some([user.get(..user.len().checked_sub(ups)?)?, &path[ups..]].concat()),
        first => {
            let child = [user.as_slice(), &[first.to_owned()]].concat();
            modules.contains_key(&child).then(|| [user, path].concat())
        }
    }
}

/// The module that defines what is at a path, behind modules that only pass it on.
fn definition(modules: &BTreeMap<Module, Paths>, mut path: Vec<String>) -> Module {
    // A name that is passed on in a circle is passed on at most so often.
    for _ in 0..10 {
        let depth = (0..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]));
        let Some((own, rest)) = depth.and_then(|depth| path.split_at_checked(depth)) else { break };
        let own = own.to_vec();
        let passed_on = rest.first().and_then(|name| {
            let import = absolute(modules, &own, modules[&own].imports.get(name)?)?;
            Some([import.as_slice(), &rest[1..]].concat())
        });
        match passed_on {
            Some(next) if next != path => path = next,
            _ => return own,
        }
    }
    path
}

impl Paths {
    fn of(code: &str) -> Self {
        let mut paths = Self::default();
        let mut rest = code;
        while let Some((before, after)) = rest.split_once("use ") {
            let declares = before.trim_end_matches(' ').ends_with(['\n', ')', '{', '}', ';'])
                || before.is_empty()
                || before.ends_with("pub ");
            if declares && let Some((tree, after)) = after.split_once(';') {
                paths.mention(before);
                paths.import(tree, &[]);
                rest = after;
            } else {
                paths.mention(before);
                rest = after;
            }
        }
        paths.mention(rest);
        paths
    }

    /// Takes in a tree of imports: `a::{self, b::c as d}`.
    fn import(&mut self, tree: &str, above: &[String]) {
        let tree = tree.trim();
        let parts = |text: &str| -> Vec<String> {
            let parts = text.split("::").map(str::trim).filter(|part| !part.is_empty());
            above.iter().cloned().chain(parts.map(str::to_owned)).collect()
        };
        if let Some((stem, list)) = tree.split_once('{') {
            let stem = parts(stem);
            let mut depth = 0_usize;
            let items = list.trim_end().trim_end_matches('}').split(|c| {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                c == ',' && depth == 0
            });
            items.filter(|item| !item.trim().is_empty()).for_each(|item| self.import(item, &stem));
            return;
        }
        let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut path = parts(path);
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let Some(last) = path.last() else { return };
        let name = if name.trim().is_empty() { last.clone() } else { name.trim().to_owned() };
        self.mentioned.push(path.clone());
        self.imports.insert(name, path);
    }

    /// Takes in the paths of other code: `crate::a::b(…)`, `super::c`, `d::e`.
    fn mention(&mut self, code: &str) {
        let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        for word in words.filter(|word| word.contains("::")) {
            let path: Vec<String> = word.trim_matches(':').split("::").map(str::to_owned).collect();
            self.mentioned.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let owned = |(file, code): &(&str, &str)| ((*file).to_owned(), (*code).to_owned());
        Graph::of(&files.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_circle_is_named() {
        let circle = graph(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "use crate::b::{self, X as Y};\n"),
            ("b.rs", "fn f() { crate::c::g() }\n"),
            ("c.rs", "use super::a::Z;\n"),
        ]);
        assert_eq!(circle.circles(), ["a.rs → b.rs → c.rs → a.rs"]);
    }

    #[test]
    fn a_name_that_is_passed_on_leads_to_its_file() {
        let files = [
            ("a/mod.rs", "pub use b::{X, y::Y};\nmod b;\nmod c;\n"),
            ("a/b.rs", "use super::c;\nfn f() { c::g() }\n"),
            ("a/c.rs", "pub(super) use super::X;\n"),
        ];
        assert_eq!(graph(&files).circles(), ["a/b.rs → a/c.rs → a/b.rs"]);
        let mut ended = graph(&files);
        assert!(ended.forget("a/c.rs", "a/b.rs") && !ended.forget("a/c.rs", "a/b.rs"));
        assert!(ended.circles().is_empty());
    }

    #[test]
    fn a_folders_files_may_use_the_file_of_the_folder() {
        let files = [
            ("a/mod.rs", "mod b;\nuse b::f;\n"),
            ("a/b.rs", "use super::{Shared, because};\nlet x = because::use_it;\n"),
        ];
        assert!(graph(&files).circles().is_empty());
    }
}
