"""A service of JupyterHub that makes TURN logins: ``python -m gpuview.hub``.

It knows the secret that it shares with the TURN server, and no user's server does. Of gpuview it
imports pure text and a rate limit, so that it also runs in a Hub's environment that has neither
torch nor PyAV nor aiortc.
"""
