"""The kernel side of the conversation with the pages of a stream."""
