mod faults;
mod layout;
mod storage;
