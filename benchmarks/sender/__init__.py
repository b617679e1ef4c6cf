"""What sending costs: one encode, and many viewers."""
