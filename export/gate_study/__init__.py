"""What the gate refuses and what it lets pass: pictures of other kinds, right films, films made
wrong.

`python -m export.gate_study chest-tb --data ../shared/data` prints the figures of a bundle with
their intervals; the exporter runs the same study on what it is about to pack, for the model card.
"""
