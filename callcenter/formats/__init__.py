"""How dates and numbers are written, where Django has nothing for a language."""
