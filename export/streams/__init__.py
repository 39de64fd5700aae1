"""From trained networks to a bundle that judges an endless signal.

Same command, another kind of recipe (`task = "ecg"`): several small networks in place of one, each
with what it remembers as named tensors, thresholds fitted to recordings, proof on golden signals.
"""
