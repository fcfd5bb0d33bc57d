"""Images at other sizes and places."""
