"""From the newest frame in the ring to packets for many viewers: one thread for each stream."""
