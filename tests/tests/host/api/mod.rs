mod calls;
mod joined;
mod schema;
