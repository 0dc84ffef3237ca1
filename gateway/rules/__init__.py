"""The deterministic core: events in, actions out, no clock, no I/O.

``engine`` turns one event into actions; ``language`` compiles rule nodes; ``conditions`` says when a rule holds; ``ladder`` and
``lifecycle`` say what becomes of an alert; ``outputs`` says what the valve and the siren should be.
"""
