"""The site file: YAML with line marks in, one typed model out, every fault at once in an installer's words."""
