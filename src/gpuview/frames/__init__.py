"""From any tensor to a slot of the ring, in the kernel process. The only floor with torch."""
