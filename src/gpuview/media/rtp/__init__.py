"""RTP and RTCP as bytes, and the sender of one viewer's video."""
