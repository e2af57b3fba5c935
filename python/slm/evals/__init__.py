"""Measuring models on text that they have not learned from."""
