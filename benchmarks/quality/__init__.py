"""How good the picture is on a fast link, against JPEG of the same frames."""
