"""ICE, STUN and TURN. The only place that imports aioice or reaches into aiortc."""
