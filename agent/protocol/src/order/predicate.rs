//! Predicates as written: an object whose clauses must all hold.
//!
//! ```json
//! { "class": "nvme", "size": { "ge": "400GB" }, "any": [ { "model": { "glob": "MZ*" } }, { "serial": { "attribute": "root_serial" } } ] }
//! ```
//!
//! `crate::plan::eval` evaluates them.

mod read;
mod schema;
mod write;

use std::fmt;

/// All clauses must hold; an empty object always holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predicate {
    pub clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Clause {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    /// How many disks pass the gates and match; only in `when`.
    Disks(Count),
    /// How many NICs match; only in `when`.
    Nics(Count),
    Field {
        field: String,
        condition: Condition,
    },
}

/// All tests must hold for the field. A plain value is `eq`, a list is `in`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Eq(Operand),
    Ne(Operand),
    In(Operands),
    Lt(Operand),
    Le(Operand),
    Gt(Operand),
    Ge(Operand),
    /// Both ends included.
    Between(Operand, Operand),
    /// Within this percentage of a value.
    Within {
        of: Operand,
        percent: f64,
    },
    /// Within 1 percent of the size on the label.
    Nominal(Operand),
    /// `*` is any run of characters, `?` any single one; the rest is literal, letter case does not matter.
    Glob(Operand),
    Exists(bool),
}

/// A number with which a count is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    pub matches: Predicate,
    pub tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Literal(Scalar),
    Attribute(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operands {
    List(Vec<Operand>),
    /// An attribute that is a list.
    Attribute(String),
}

impl Predicate {
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::Number(value) => write!(f, "{value}"),
            Scalar::Text(value) => write!(f, "{value}"),
        }
    }
}
