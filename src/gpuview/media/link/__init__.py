"""Room for the congestion controller: feedback, estimate, pacer. Nothing is built yet."""
