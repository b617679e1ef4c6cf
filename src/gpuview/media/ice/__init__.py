"""ICE, STUN and TURN. The only package that imports aioice.

`gpuview.media.aiortc_compat` reaches into the rest of aiortc, and so does
`gpuview.testing.receiver`.
"""
