"""Where frames come from when nobody pushes: polled callables, and taps on modules."""
