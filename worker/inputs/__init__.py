"""InputSlice to ReadableInput: what a work order reads, opened on its worker."""
