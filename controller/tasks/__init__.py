"""Tasks of a server: a queue over slots, what each kind of task does, and how tasks are shown."""
