"""The world going out: relays for sirens, valves and fans. Nothing here decides *what* should be on; that is the core's."""
