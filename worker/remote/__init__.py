"""Workers in processes of their own: messages over a pipe, partitions in files that every reader maps into memory."""
