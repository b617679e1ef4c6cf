"""Where frames come from if the user does not push them: polled callables, and taps on modules."""
