"""Workers in processes of their own: messages over a pipe, and partitions over sockets of this machine."""
