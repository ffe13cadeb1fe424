"""Ways to start workers: threads of this process, processes of this machine, actors of a cluster."""
