"""The pages that a browser or a notebook shows: what is on them as plain data, then one file of HTML."""
