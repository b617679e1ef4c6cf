"""The media process: encoder, packets, viewers, network. Never imports torch."""
