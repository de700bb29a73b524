mod crash;
mod disks;
mod faults;
mod hanging;
mod layout;
mod matrix;
mod storage;
mod unfinished;
