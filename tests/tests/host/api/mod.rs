mod attacks;
mod calls;
mod joined;
mod schema;
