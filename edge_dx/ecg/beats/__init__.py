"""From R peaks to classes of beats: causal features that follow the patient, and the rule.

    features = BeatFeatures("at_once")
    state = features.start(leads=1)
    state, ready = features.step(state, row, around)  # around: rows row-BEFORE to row+AFTER
    for beat in ready:  # the network answers
        classes, h = network(beat.window, beat.features, h)

Training, parity and devices all run this one implementation. Nothing in it depends on what the
network answered before, so what the network was trained on is what it sees on a device.
"""

from edge_dx.ecg.beats.features import AFTER, BEFORE, FEATURES, BeatFeatures, ReadyBeat
from edge_dx.ecg.beats.rule import Answer, BeatRule, log_probabilities, unclassifiable
from edge_dx.ecg.beats.shapes import WINDOW

__all__ = [
    "AFTER",
    "BEFORE",
    "FEATURES",
    "WINDOW",
    "Answer",
    "BeatFeatures",
    "BeatRule",
    "ReadyBeat",
    "log_probabilities",
    "unclassifiable",
]
