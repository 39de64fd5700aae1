"""Wearable ECG: beats, rhythms and alarms out of a stream of samples."""
