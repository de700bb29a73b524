//! Reads an order as the agent does and says what is wrong with it: `cargo run -p burin-protocol --example order -- [FILE]`.

use burin_protocol::error::Coded;
use burin_protocol::order;
use std::error::Error;

/// `disk` should be `disks`.
const WRONG: &str = r#"{ "version": "order/v1", "id": "example", "layouts": [{ "name": "only", "disk": {} }] }"#;

fn main() -> Result<(), Box<dyn Error>> {
    let text = match std::env::args().nth(1) {
        Some(file) => std::fs::read_to_string(file)?,
        None => WRONG.to_owned(),
    };
    match order::parse(&text) {
        Ok(order) => println!("order {} with {} layouts", order.id, order.layouts.len()),
        Err(error) => {
            // The form used on the wire and on the console.
            println!("{}", serde_json::to_string_pretty(&error.problem())?);
        }
    }
    Ok(())
}
