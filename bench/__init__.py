"""Benchmarks: what the gateway costs and how quick it is, each figure with its baseline and its physical limit beside it.

``make bench`` runs them all. They print and record; they never fail for a slow machine. Each file here is one subject and
says at its top what exactly is measured; ``docs/performance.md`` explains the figures.
"""
