"""Figures of the text model on real messages."""
