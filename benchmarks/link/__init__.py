"""gpuview against stock aiortc on poor links: the network laboratory and a real Chromium."""
