"""What people do to a picture, and what they are told of it."""
