"""The report pages: each answers one question, with the figures and the calls behind them."""
