mod crash;
mod disks;
mod faults;
mod hanging;
mod layout;
mod storage;
mod unfinished;
