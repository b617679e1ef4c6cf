"""Encodes each stream on a thread of its own: newest frame in, packets for all viewers out."""
