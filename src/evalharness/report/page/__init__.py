"""The report: one HTML file on the store and the scores, which opens without a network.

`collect` reads and computes with the other packages, a module per section turns the findings into blocks (`blocks`),
`render` turns the blocks into the page, and `write` puts it on disk beside its numbers.
"""
