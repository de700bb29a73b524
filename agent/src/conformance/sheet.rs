//! Collects the verdict on each rule.

use super::voice::Heard;
use super::{Point, RuleVerdict};

#[derive(Default)]
pub struct Sheet(pub Vec<Point>);

impl Sheet {
    fn push(&mut self, name: &'static str, rule: &'static str, verdict: RuleVerdict, detail: String) {
        self.0.push(Point { name, rule, verdict, detail });
    }

    pub fn judge<T>(&mut self, name: &'static str, rule: &'static str, heard: Heard<T>) -> Option<T> {
        match heard {
            Ok(value) => {
                self.push(name, rule, RuleVerdict::Right, String::new());
                Some(value)
            }
            Err(why) => {
                self.push(name, rule, RuleVerdict::Wrong, why);
                None
            }
        }
    }

    pub fn untried(&mut self, name: &'static str, rule: &'static str, why: &str) {
        self.push(name, rule, RuleVerdict::Untried, why.to_owned());
    }
}
