"""Planning: one native query with its nested sources becomes the stages of a QueryDefinition."""
