//! `hwinventory`: what this machine is.
fn main() {
    let inventory = hwinventory::collect(&hwinventory::Options::default());
    match serde_json::to_string_pretty(&inventory) {
        Ok(text) => println!("{text}"),
        Err(error) => {
            eprintln!("hwinventory: {error}");
            std::process::exit(1);
        }
    }
}
