"""Pilots on the server's side."""
