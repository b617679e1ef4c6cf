"""What a viewer's link can take: its feedback, and the rate that is estimated from it."""
