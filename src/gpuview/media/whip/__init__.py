"""Sends a stream to an ingest for large audiences, by WHIP."""
