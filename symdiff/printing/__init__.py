"""How expressions and derivations are written: Python text, matrix notation, LaTeX."""
