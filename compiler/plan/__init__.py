"""Which operations run together, and where their results live."""
