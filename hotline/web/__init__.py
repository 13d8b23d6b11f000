"""The roof's pages: one module per desk; a view parses, calls one action, and answers."""
