"""Stages of the pipeline: one command each, which knows the paths and leaves the maths to the package."""
