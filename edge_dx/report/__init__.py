"""The report of a demonstration: rows of answers, clinical figures, and one HTML file.

`rows` are what is kept of each result (never its pixels), `labels` reads a films directory's
truth, `evaluation` turns both into figures, `roc` draws the curve, `markdown` renders the model
card, `text` is the table for a terminal, and `page` puts the HTML together. Everything that came
from a file (names, labels, messages, the card) is escaped where it enters the page.
"""
