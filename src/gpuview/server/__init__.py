"""Room for the jupyter-server extension. Imports neither torch nor av nor aiortc."""
