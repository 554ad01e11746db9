"""The report: one HTML file on the store and the scores, which opens without a network.

`collect` reads and computes through the rooms before this one, a module per section turns what was found into blocks
(`blocks`), `render` turns the blocks into the page, and `write` puts it on disk beside its numbers.
"""
