"""Hostile bytes for every decoder and door: ``targets.py`` names each with its invariant, ``corpus/`` holds where to begin."""
