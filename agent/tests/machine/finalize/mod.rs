mod disk;
mod efivars;
