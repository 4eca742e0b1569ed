"""The voice provider's wire: the only code that knows how Sautikit spells things.

A leaf: no models, no settings, no Django apps. Whatever it needs comes in as an argument.
`client` and `actions` are what we send, `callbacks` is what arrives, `signature` and `tokens`
say whether to believe it. "contract 4.2" in a docstring is a section of the wire contract.
"""
