"""gpuview against jupyter_rfb, in a real JupyterLab and a real Chromium."""
