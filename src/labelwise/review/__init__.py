"""Labels decided by people: a local page to review flagged and queried rows, and the file their decisions lie in.

`store` keeps the decisions, `consensus` says what several annotators decided together, `cards` are the rows to look at in
the order of their worth, `material` is what a card shows, `desk` brings these together, `server` speaks HTTP, and `export`
hands the corrected labels on. Nothing here is imported before a review starts.
"""
