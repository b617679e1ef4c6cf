"""What a tensor is, what the user said of it, and where it goes in the picture. Pure decisions."""
