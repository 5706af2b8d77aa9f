"""Photographs, degradations, image pairs, crops and patches, and how close two images are."""
