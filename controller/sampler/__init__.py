"""The sampler of the console's data loader: the first rows of a source, as they are and as they would be ingested."""
