"""How many agents a queue needs: Erlang's formulas, what the centre has measured, a forecast."""
